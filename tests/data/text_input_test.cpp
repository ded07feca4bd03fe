// Text as it comes: compressed, in folders, in lines. What is no text is refused with its place.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <zlib.h>

#include <functional>
#include <nlohmann/json.hpp>
#include <thread>

#include "data/byte_stream.h"
#include "data/in_order.h"
#include "data/input_paths.h"
#include "data/packed_text.h"
#include "data/record_texts.h"
#include "data/scratch_folder.h"
#include "data/text_blocks.h"

namespace megalith {
namespace {

namespace fs = std::filesystem;

std::string unpacked(const fs::path& path, std::size_t portion = 1000) {
  const auto stream = ByteStream::open(path);
  std::string text, part(portion, '\0');
  while (const std::size_t got = stream->read(part.data(), part.size())) text += part.substr(0, got);
  return text;
}

std::string failure_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const RefusedInput& refused) {
    return refused.what();
  }
  return "";
}

TEST(ByteStream, UnpacksWhatItsFirstBytesSay) {
  const ScratchFolder folder;
  const std::string text = varied_text(50000);
  write_bytes(folder / "plain", text);
  write_bytes(folder / "a", gzip(text));
  write_bytes(folder / "b", zstd(text));
  write_bytes(folder / "members", gzip(text) + gzip("") + gzip("more") + std::string(512, '\0'));
  write_bytes(folder / "frames", zstd(text) + zstd("") + zstd("more"));
  for (const char* name : {"plain", "a", "b"}) EXPECT_TRUE(unpacked(folder / name) == text) << name;
  for (const char* name : {"members", "frames"})
    EXPECT_TRUE(unpacked(folder / name, 70000) == text + "more") << name;
}

TEST(ByteStream, TellsTheOffsetOfEveryTruncationAndSurvivesDamage) {
  const ScratchFolder folder;
  const std::string text = varied_text(2000);
  for (const std::string& whole : {gzip(text), zstd(text)}) {
    for (std::size_t size = 5; size < whole.size(); size += whole.size() / 37) {
      write_bytes(folder / "cut", whole.substr(0, size));
      EXPECT_NE(failure_of([&] { unpacked(folder / "cut"); }).find("offset"), std::string::npos) << size;
      std::string flipped = whole;
      flipped[size] = static_cast<char>(flipped[size] ^ 0x40);
      write_bytes(folder / "flipped", flipped);
      std::string found = text;
      const std::string failure = failure_of([&] { found = unpacked(folder / "flipped"); });
      EXPECT_TRUE(!failure.empty() || found != text || size < 10) << size;
    }
  }
}

TEST(ByteStream, RefusesBombs) {
  const ScratchFolder folder;
  write_bytes(folder / "bomb", zstd(std::string(std::size_t{400} << 20, ' ')));
  EXPECT_NE(failure_of([&] { unpacked(folder / "bomb", 1 << 20); }).find("times as many"), std::string::npos);
}

TEST(InputPaths, TakesFilesFoldersAndPatternsInTheOrderOfTheirBytes) {
  const ScratchFolder folder;
  fs::create_directories(folder / "d/sub/.git");
  for (const char* name :
       {"d/b.txt", "d/a.jsonl.zst", "d/sub/c.md", "d/x.png", "d/.hidden.txt", "d/sub/.git/e.txt"})
    write_bytes(folder / name, "text");
  fs::create_directory_symlink(folder / "d", folder / "d/loop");
  const InputPaths found = value_or_throw(expand_inputs(std::vector{(folder / "d").string()}));
  EXPECT_EQ(found.files, (std::vector{folder / "d/a.jsonl.zst", folder / "d/b.txt", folder / "d/sub/c.md"}));
  EXPECT_EQ(found.first_skipped, (folder / "d/x.png").string());
  EXPECT_EQ(value_or_throw(expand_inputs(std::vector{(folder / "d/*.[tp]*").string()})).files,
            (std::vector{folder / "d/b.txt", folder / "d/x.png"}));
}

TEST(InputPaths, RefusesAtOnceWhatIsNotThereOrNoFile) {
  const ScratchFolder folder;
  fs::create_directory(folder / "none");
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  const auto paths = expand_inputs(
      std::vector<std::string>{folder / "none", folder / "pipe", folder / "missing", folder / "*.txt"});
  ASSERT_FALSE(paths);
  const std::string problems = to_string(paths.error());
  for (const char* word : {"a folder without text files", "a FIFO", "No such file", "no file matches"})
    EXPECT_NE(problems.find(word), std::string::npos) << word << problems;
  EXPECT_FALSE(expand_inputs({}));
}

std::vector<std::string> texts_of(const std::vector<fs::path>& files, RecordRules rules = {}) {
  RecordTexts source(files, std::move(rules));
  std::vector<std::string> texts;
  for (std::string_view text; source.next(text);) texts.emplace_back(text);
  return texts;
}

TEST(RecordTexts, GiveWholeFilesAndTheTextsOfLines) {
  const ScratchFolder folder;
  write_bytes(folder / "marked.txt", "\xef\xbb\xbfh\xc3\xa9llo\r\n");
  write_bytes(folder / "a.jsonl.gz", gzip("\xef\xbb\xbf{\"text\": \"one\"}\r\n\n{\"text\": \"  \"}\n"
                                          "{\"prompt\": \"p\", \"completion\": \"c\"}"));
  write_bytes(folder / "k.jsonl", "{\"content\": \"two\", \"text\": 3}\n");
  EXPECT_EQ(texts_of({folder / "marked.txt", folder / "a.jsonl.gz"}),
            (std::vector<std::string>{"h\xc3\xa9llo\r\n", "one", "pc"}));
  EXPECT_EQ(texts_of({folder / "k.jsonl"}, {.text_key = "content"}), std::vector<std::string>{"two"});
  // Numbers that no machine type holds are nobody's business; deep nesting is.
  write_bytes(folder / "n.jsonl", "{\"id\": 123456789012345678901234567890, \"text\": \"three\"}\n{\"a\": " +
                                      std::string(40, '[') + std::string(40, ']') +
                                      ", \"text\": \"four\"}\n");
  EXPECT_EQ(texts_of({folder / "n.jsonl"}), std::vector<std::string>{"three"});
}

TEST(RecordTexts, RefuseWhatIsNoText) {
  const ScratchFolder folder;
  write_bytes(folder / "image.png", std::string_view("\x89PNG\r\n\x1a\n\0\0\0\rIHDR", 16));
  write_bytes(folder / "late", std::string(600000, 'a') + '\0');
  EXPECT_NE(failure_of([&] { texts_of({folder / "image.png"}); }).find("NUL byte at offset 8"),
            std::string::npos);
  EXPECT_NE(failure_of([&] { texts_of({folder / "late"}); }).find("at offset 600000"), std::string::npos);
}

TEST(RecordReader, GivesTheSameRecordsForAnyBatchSize) {
  const ScratchFolder folder;
  std::string lines;
  for (std::size_t i = 0; i < 3000; ++i) lines += nlohmann::json{{"text", std::string(i, 'x')}}.dump() + "\n";
  write_bytes(folder / "a.jsonl", lines);
  write_bytes(folder / "b.txt", varied_text(40000));
  write_bytes(folder / "empty.txt", "");
  std::vector<std::string> first;
  for (const std::size_t wanted : {std::size_t{1}, std::size_t{5000}, std::size_t{1} << 20}) {
    RecordReader reader({folder / "a.jsonl", folder / "empty.txt", folder / "b.txt"}, 100);
    std::vector<std::string> records;
    std::int64_t bytes = 0;
    for (RecordBatch batch; reader.next(batch, wanted);) {
      for (const Record& record : batch.records) {
        records.push_back(fmt::format("{} {} {}", record.file, record.offset, batch.text_of(record)));
        bytes += record.bytes;
      }
    }
    EXPECT_EQ(bytes, reader.files()[0].text_bytes + reader.files()[2].text_bytes);
    if (first.empty()) first = records;
    EXPECT_TRUE(records == first) << wanted;
  }
}

TEST(InOrder, WritesInTheOrderOfReadingAndThrowsTheFirstFailure) {
  for (const int threads : {1, 2, 7}) {
    int next = 0;
    std::vector<int> written;
    const auto read = [&](int& input) { return (input = next++) < 200; };
    const auto work = [](int& input, int) {
      std::this_thread::sleep_for(std::chrono::microseconds(input * 37 % 200));
      if (input == 150 || input == 153) throw std::runtime_error(std::to_string(input));
      return input;
    };
    try {
      InOrder<int, int>::run(threads, read, work, [&](int& result) { written.push_back(result); });
      FAIL();
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "150");
    }
    ASSERT_EQ(written.size(), 150u);
    for (int i = 0; i < 150; ++i) EXPECT_EQ(written[static_cast<std::size_t>(i)], i);
    const auto forever = [](int&) { return true; };
    const auto fail_to_write = [](int&) { throw std::logic_error("full"); };
    EXPECT_THROW((InOrder<int, int>::run(
                     threads, forever, [](int& i, int) { return i; }, fail_to_write)),
                 std::logic_error);
  }
}

TEST(TextBlocks, EndAtTheFirstLineEndBehindTheWantedSize) {
  EXPECT_EQ(first_block("ab\ncd\nef\n", 1), "ab\n");
  EXPECT_EQ(first_block("ab\ncd\nef\n", 3), "ab\n");
  EXPECT_EQ(first_block("ab\ncd\nef\n", 4), "ab\ncd\n");
  EXPECT_EQ(first_block("ab\ncd\nef\n", 100), "ab\ncd\nef\n");
  EXPECT_EQ(first_block("", 1), "");
}

TEST(TextBlocks, CutLongLinesBetweenCharacters) {
  for (const std::string character : {"a", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\x80"}) {
    std::string line;
    while (line.size() < 300000) line += character;
    for (std::size_t wanted = 1; wanted < 9; ++wanted) {
      std::size_t total = 0;
      for (std::string_view rest = line; !rest.empty();) {
        const std::string_view block = first_block(rest, wanted);
        ASSERT_FALSE(block.empty());
        EXPECT_EQ(block.size() % character.size(), 0u);
        EXPECT_LE(block.size(), wanted + kLongestLine);
        total += block.size();
        rest.remove_prefix(block.size());
      }
      EXPECT_EQ(total, line.size());
    }
  }
}

}  // namespace
}  // namespace megalith
