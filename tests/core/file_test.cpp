// Maps of files that are read past their pages.

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/file.h"

namespace megalith {
namespace {

class ReadPastTheMap : public testing::Test {
 protected:
  void SetUp() override {
    for (std::size_t i = 0; i < text_.size(); ++i) text_[i] = static_cast<char>(i * 7 % 251);
    OutputFile file(path_);
    file.write(text_);
    file.close();
  }
  void TearDown() override { std::filesystem::remove(path_); }
  [[nodiscard]] MappedFile opened() const {
    Expected<MappedFile> file = MappedFile::open(path_, true);
    EXPECT_TRUE(file);
    return std::move(*file);
  }

  std::string text_ = std::string(300'000, '\0');
  std::filesystem::path path_ = std::filesystem::temp_directory_path() / fmt::format("map-{}", ::getpid());
};

TEST_F(ReadPastTheMap, GivesTheBytesOfTheMap) {
  MappedFile first = opened();
  const MappedFile file = std::move(first);  // whoever has the map has the file
  for (const std::size_t begin : {0, 1, 4095, 123'456, 299'999, 300'000}) {
    const std::span<const std::byte> part = file.bytes().subspan(begin);
    std::vector<std::byte> read(part.size());
    ASSERT_TRUE(file.read(part, read.data()));
    const auto expected = std::as_bytes(std::span(text_)).subspan(begin);
    EXPECT_TRUE(std::equal(read.begin(), read.end(), expected.begin(), expected.end())) << begin;
    EXPECT_TRUE(file.holds(part));
  }
  EXPECT_FALSE(file.holds(std::as_bytes(std::span(text_))));
}

TEST_F(ReadPastTheMap, SaysWhereTheFileHasShrunkWhatTheMapCannotSay) {
  const MappedFile file = opened();
  std::filesystem::resize_file(path_, 100'000);
  std::vector<std::byte> read(file.bytes().size());
  EXPECT_TRUE(file.read(file.bytes().first(100'000), read.data()));
  EXPECT_FALSE(file.read(file.bytes().first(100'001), read.data()));
  EXPECT_FALSE(file.read(file.bytes().subspan(200'000), read.data()));
}

}  // namespace
}  // namespace megalith
