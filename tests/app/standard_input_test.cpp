#include "app/standard_input.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <string_view>

namespace megalith::app {
namespace {

using Status = LineReader::Status;

class Pipe {
 public:
  Pipe() { EXPECT_EQ(::pipe(ends_.data()), 0); }
  ~Pipe() {
    end();
    ::close(ends_[0]);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;

  void write(std::string_view text) {
    EXPECT_EQ(::write(ends_[1], text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  void end() {
    if (ends_[1] >= 0) ::close(ends_[1]);
    ends_[1] = -1;
  }
  [[nodiscard]] int reading() const { return ends_[0]; }

 private:
  std::array<int, 2> ends_{};
};

bool never() {
  return false;
}

TEST(LineReader, GivesLinesAsTheyComeAndTheLastOneWithoutItsNewline) {
  Pipe pipe;
  LineReader reader(pipe.reading(), 100, never);
  std::string line;
  pipe.write("one\n\ntw");
  EXPECT_EQ(reader.next(line), Status::line);
  EXPECT_EQ(line, "one");
  EXPECT_EQ(reader.next(line), Status::line);
  EXPECT_EQ(line, "");
  pipe.write("o\nthree");
  EXPECT_EQ(reader.next(line), Status::line);
  EXPECT_EQ(line, "two");
  pipe.end();
  EXPECT_EQ(reader.next(line), Status::line);
  EXPECT_EQ(line, "three");
  EXPECT_EQ(reader.next(line), Status::end);
}

TEST(LineReader, SkipsALineThatIsTooLongAndGoesOnAfterIt) {
  Pipe pipe;
  LineReader reader(pipe.reading(), 10, never);
  std::string line;
  pipe.write("0123456789\n0123456789a\nshort\n" + std::string(20000, 'x') + "\nafter\n" +
             std::string(11, 'y'));
  pipe.end();
  EXPECT_EQ(reader.next(line), Status::line);
  EXPECT_EQ(line, "0123456789");
  EXPECT_EQ(reader.next(line), Status::too_long);
  EXPECT_EQ(reader.next(line), Status::line);
  EXPECT_EQ(line, "short");
  EXPECT_EQ(reader.next(line), Status::too_long);
  EXPECT_EQ(reader.next(line), Status::line);
  EXPECT_EQ(line, "after");
  EXPECT_EQ(reader.next(line), Status::too_long);
  EXPECT_EQ(reader.next(line), Status::end);
}

TEST(LineReader, AnInterruptEndsTheWaitingAndKeepsWhatWasTyped) {
  Pipe pipe;
  int questions = 0;
  bool interrupted = true;
  LineReader reader(pipe.reading(), 100, [&] { return ++questions > 2 && interrupted; });
  pipe.write("begun");
  std::string line;
  EXPECT_EQ(reader.next(line), Status::interrupted);
  interrupted = false;
  pipe.write(" and ended\n");
  EXPECT_EQ(reader.next(line), Status::line);
  EXPECT_EQ(line, "begun and ended");
}

TEST(ReadToEnd, TakesEverythingUpToItsLimitAndRefusesMore) {
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{9999}, std::size_t{10000}}) {
    Pipe pipe;
    const std::string text(size, 't');
    pipe.write(text);
    pipe.end();
    EXPECT_EQ(*read_to_end(pipe.reading(), 10000), text);
  }
  Pipe pipe;
  pipe.write(std::string(10001, 't'));
  pipe.end();
  const Expected<std::string> refused = read_to_end(pipe.reading(), 10000);
  ASSERT_FALSE(refused);
  EXPECT_NE(to_string(refused.error()).find("10000"), std::string::npos);
}

TEST(ReadToEnd, SaysWhatFailed) {
  EXPECT_THROW((void)read_to_end(-1, 10), WorldFailed);
}

}  // namespace
}  // namespace megalith::app
