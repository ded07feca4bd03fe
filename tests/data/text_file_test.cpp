// Text files: what is text is taken whole, what is not is refused by name.
#include "data/text_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "data/scratch_folder.h"
#include "data/text_blocks.h"

namespace megalith {
namespace {

std::string refusal_of(const std::filesystem::path& path) {
  const Expected<TextFile> file = TextFile::open(path);
  return file ? "" : to_string(file.error());
}

TEST(TextFile, DropsTheByteOrderMarkAndNothingElse) {
  const ScratchFolder folder;
  write_bytes(folder / "marked", "\xef\xbb\xbfh\xc3\xa9llo\r\n");
  write_bytes(folder / "plain", "h\xff\n");
  EXPECT_EQ(value_or_throw(TextFile::open(folder / "marked")).text(), "h\xc3\xa9llo\r\n");
  EXPECT_EQ(value_or_throw(TextFile::open(folder / "marked")).mark_bytes(), 3u);
  EXPECT_EQ(value_or_throw(TextFile::open(folder / "plain")).text(), "h\xff\n");
}

TEST(TextFile, RefusesWhatIsNoText) {
  const ScratchFolder folder;
  write_bytes(folder / "empty", "");
  write_bytes(folder / "mark", "\xef\xbb\xbf");
  write_bytes(folder / "image.png", std::string_view("\x89PNG\r\n\x1a\n\0\0\0\rIHDR", 16));
  write_bytes(folder / "late", std::string(100000, 'a') + '\0');
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  const std::pair<const char*, const char*> expected[] = {
      {"empty", "no text"},           {"mark", "no text"}, {"image.png", "NUL byte at offset 8"},
      {"late", "at offset 100000"},   {"pipe", "a FIFO"},  {".", "a folder"},
      {"missing", "No such file or"},
  };
  for (const auto& [name, word] : expected) {
    const std::string refusal = refusal_of(folder / name);
    EXPECT_NE(refusal.find(word), std::string::npos) << refusal;
    EXPECT_NE(refusal.find(name), std::string::npos) << refusal;
  }
}

TEST(TextFiles, GiveTextsInOrderAndNameEveryBadFile) {
  const ScratchFolder folder;
  write_bytes(folder / "a", "one");
  write_bytes(folder / "b", "\xef\xbb\xbftwo");
  const auto source = value_or_throw(TextFiles::open(std::vector{folder / "b", folder / "a"}));
  std::string_view text;
  ASSERT_TRUE(source->next(text));
  EXPECT_EQ(text, "two");
  ASSERT_TRUE(source->next(text));
  EXPECT_EQ(text, "one");
  EXPECT_FALSE(source->next(text));
  const auto refused = TextFiles::open(std::vector{folder / "x", folder / "a", folder / "y"});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().size(), 2u);
  EXPECT_FALSE(TextFiles::open({}));
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
