// Token files: what was written reads back, real files of others read right, damaged ones are refused.
#include "data/token_file.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "data/scratch_folder.h"
#include "data/token_file_writer.h"

namespace megalith {
namespace {

namespace fs = std::filesystem;
using Ids = std::vector<std::int32_t>;

void write(const fs::path& prefix, TokenType type, const std::vector<Ids>& documents) {
  TokenFileWriter writer(prefix, type);
  for (const Ids& document : documents) {
    writer.append(document);
    writer.end_document();
  }
  writer.seal();
  writer.publish("");
}

Ids ids_of(const TokenFile& file, TokenRange range) {
  Ids ids(static_cast<std::size_t>(range.count));
  file.read(range.begin, range.count, ids.data());
  return ids;
}

std::string refusal_of(const fs::path& prefix) {
  const auto file = TokenFile::open(prefix);
  return file ? "" : to_string(file.error());
}

fs::path sibling(const fs::path& prefix, const char* suffix) {
  fs::path path = prefix;
  path += suffix;
  return path;
}

const std::vector<Ids> kDocuments = {{5, 6, 7}, {}, {8}, {}, {}, {9, 10, 200, 11}};

class EveryTokenType : public testing::TestWithParam<TokenType> {};

TEST_P(EveryTokenType, RoundTrips) {
  const bool narrow = GetParam() == TokenType::int8;
  std::vector<Ids> documents = kDocuments;
  if (narrow) documents.back()[2] = 127;
  const ScratchFolder folder;
  write(folder / "new/folder/t", GetParam(), documents);
  const auto file = value_or_throw(TokenFile::open(folder / "new/folder/t"));
  EXPECT_EQ(file->num_tokens(), 8);
  EXPECT_EQ(file->num_sequences(), 6);
  ASSERT_EQ(file->num_documents(), 6);
  for (std::size_t d = 0; d < documents.size(); ++d) {
    EXPECT_EQ(ids_of(*file, file->document(static_cast<std::int64_t>(d))), documents[d]) << d;
  }
  EXPECT_EQ(file->largest_id(), narrow ? 127 : 200);
  EXPECT_EQ(file->type(), GetParam());
}

INSTANTIATE_TEST_SUITE_P(TokenFile, EveryTokenType,
                         testing::Values(TokenType::uint8, TokenType::int8, TokenType::int16,
                                         TokenType::int32, TokenType::int64, TokenType::uint16),
                         [](const auto& type) { return std::string(token_type_name(type.param)); });

TEST(TokenFile, FindsTheDocumentOfEveryToken) {
  const ScratchFolder folder;
  write(folder / "t", TokenType::uint16, kDocuments);
  const auto file = value_or_throw(TokenFile::open(folder / "t"));
  const std::vector<std::int64_t> expected = {0, 0, 0, 2, 5, 5, 5, 5};
  for (std::int64_t token = 0; token < 8; ++token) {
    EXPECT_EQ(file->document_of(token), expected[static_cast<std::size_t>(token)]) << token;
  }
}

TEST(TokenFile, MayBeEmpty) {
  const ScratchFolder folder;
  write(folder / "t", TokenType::uint16, {});
  const auto file = value_or_throw(TokenFile::open(folder / "t"));
  EXPECT_EQ(file->num_tokens(), 0);
  EXPECT_EQ(file->num_documents(), 0);
  EXPECT_EQ(file->largest_id(), -1);
}

TEST(TokenFile, ReadsNegativeAndHugeNumbersAsAnIdNoVocabularyHas) {
  const ScratchFolder folder;
  write(folder / "t", TokenType::int64, {{1, 2}});
  std::string bin = bytes_of(folder / "t.bin");
  const std::int64_t minus = -1, huge = std::int64_t{1} << 31;
  std::memcpy(bin.data(), &minus, 8);
  std::memcpy(bin.data() + 8, &huge, 8);
  write_bytes(folder / "t.bin", bin);
  const auto file = value_or_throw(TokenFile::open(folder / "t"));
  EXPECT_EQ(ids_of(*file, {.begin = 0, .count = 2}), (Ids{2147483647, 2147483647}));
  EXPECT_EQ(file->largest_id(), 2147483647);
}

TEST(TokenFile, UsesTwoBytesForVocabulariesBelow65500) {
  EXPECT_EQ(token_type_for(65499), TokenType::uint16);
  EXPECT_EQ(token_type_for(65500), TokenType::int32);
}

TEST(TokenFile, IsNotThereWithoutPublication) {
  const ScratchFolder folder;
  {
    TokenFileWriter writer(folder / "t", TokenType::uint16);
    writer.append(Ids{1});
    writer.end_document();
    writer.seal();
  }
  EXPECT_TRUE(fs::is_empty(folder.path()));
  write(folder / "t", TokenType::uint16, kDocuments);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator{}), 2);
}

TEST(TokenFile, DropsTheMetaFileOfTheFilesItReplaces) {
  const ScratchFolder folder;
  write_bytes(folder / "t.meta.json", "{}");
  write(folder / "t", TokenType::uint16, kDocuments);
  EXPECT_FALSE(fs::exists(folder / "t.meta.json"));
}

TEST(TokenFile, RefusesEveryTruncationAndExtension) {
  const ScratchFolder folder;
  write(folder / "t", TokenType::uint16, kDocuments);
  for (const char* suffix : {".idx", ".bin"}) {
    const fs::path path = sibling(folder / "t", suffix);
    const std::string whole = bytes_of(path);
    for (std::size_t size = 0; size < whole.size(); ++size) {
      write_bytes(path, whole.substr(0, size));
      EXPECT_NE(refusal_of(folder / "t"), "") << suffix << " cut to " << size;
    }
    write_bytes(path, whole + '\0');
    EXPECT_NE(refusal_of(folder / "t").find("t" + std::string(suffix)), std::string::npos);
    fs::remove(path);
    EXPECT_NE(refusal_of(folder / "t").find("t" + std::string(suffix)), std::string::npos);
    write_bytes(path, whole);
  }
  EXPECT_EQ(refusal_of(folder / "t"), "");
}

// Every byte of an index is decided by the others and the .bin, save the type among types of one size and the
// borders of empty documents; what is accepted all the same must stay in bounds.
TEST(TokenFile, RefusesFlippedBitsOfTheIndexOrStaysInBounds) {
  const ScratchFolder folder;
  write(folder / "t", TokenType::uint16, kDocuments);
  const std::string whole = bytes_of(folder / "t.idx");
  int accepted = 0;
  for (std::size_t bit = 0; bit < whole.size() * 8;
       bit += 3) {  // 3 and 8 share no factor: every bit of a byte
    std::string flipped = whole;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    write_bytes(folder / "t.idx", flipped);
    const auto file = TokenFile::open(folder / "t");
    if (!file) continue;
    ++accepted;
    std::int64_t tokens = 0;
    for (std::int64_t d = 0; d < (*file)->num_documents(); ++d) {
      tokens += static_cast<std::int64_t>(ids_of(**file, (*file)->document(d)).size());
    }
    EXPECT_EQ(tokens, 8) << "bit " << bit;
  }
  EXPECT_LE(accepted, 4);
}

// One field of an index of three sequences and three documents, overwritten.
struct Damage {
  std::size_t at;
  std::int64_t value;
  std::size_t bytes;
  const char* word;  // in the refusal
};

TEST(TokenFile, SaysWhatIsWrongWithAHostileIndex) {
  const ScratchFolder folder;
  write(folder / "t", TokenType::uint16, {{1, 2}, {3}, {4, 5}});
  const std::string whole = bytes_of(folder / "t.idx");
  ASSERT_EQ(whole.size(), 34u + 3 * 12 + 4 * 8);
  const Damage all[] = {
      {0, 'X', 1, "MMIDIDX\\x00\\x00"},
      {9, 2, 8, "version 2"},
      {17, 6, 1, "type code 6"},
      {17, 0, 1, "type code 0"},
      {17, 4, 1, "multiple of 4"},
      {18, 4, 8, "4 sequences"},
      {18, -1, 8, "18446744073709551615 sequences"},
      {18, std::int64_t{1} << 62, 8, "sequences"},
      {26, 0, 8, "0 document entries"},
      {26, -1, 8, "document entries"},
      {26, std::int64_t{1} << 61, 8, "document entries"},
      {34, -1, 4, "sequence 0 of -1 tokens"},
      {34, 2147483647, 4, "sequence 0 of 2147483647 tokens"},
      {34, 1, 4, "sequence 1 at byte 4"},
      {42, 1, 4, "4 tokens"},
      {46, 2, 8, "sequence 0 at byte 2"},
      {54, -4, 8, "sequence 1 at byte -4"},
      {70, 1, 8, "document entry 0: sequence 1"},
      {78, 3, 8, "document entry 2: sequence 2"},
      {78, -1, 8, "document entry 1: sequence -1"},
      {86, 4, 8, "document entry 2: sequence 4"},
      {94, 2, 8, "document entry 3: sequence 2"},
  };
  for (const Damage& damage : all) {
    std::string bytes = whole;
    std::memcpy(bytes.data() + damage.at, &damage.value, damage.bytes);
    write_bytes(folder / "t.idx", bytes);
    const std::string refusal = refusal_of(folder / "t");
    EXPECT_NE(refusal.find(damage.word), std::string::npos) << damage.at << ": " << refusal;
    EXPECT_NE(refusal.find("allowed: "), std::string::npos) << refusal;
  }
}

struct RealFile {
  const char* name;
  TokenType type;
  std::int64_t documents;
  std::int64_t tokens;
};

class RealTokenFile : public testing::TestWithParam<RealFile> {};

TEST_P(RealTokenFile, ReadsAndIsRewrittenByteForByte) {
  const fs::path prefix = fs::path(MEGALITH_SHARED_DIR) / "data/megatron-indexed" / GetParam().name;
  if (!fs::exists(sibling(prefix, ".idx"))) GTEST_SKIP() << "the test data has no " << prefix;
  const auto file = value_or_throw(TokenFile::open(prefix));
  EXPECT_EQ(file->type(), GetParam().type);
  EXPECT_EQ(file->num_sequences(), GetParam().documents);
  EXPECT_EQ(file->num_documents(), GetParam().documents);
  EXPECT_EQ(file->num_tokens(), GetParam().tokens);
  std::vector<Ids> documents;
  for (std::int64_t d = 0; d < file->num_documents(); ++d)
    documents.push_back(ids_of(*file, file->document(d)));
  const ScratchFolder folder;
  write(folder / "again", file->type(), documents);
  for (const char* suffix : {".idx", ".bin"}) {
    EXPECT_TRUE(bytes_of(sibling(prefix, suffix)) == bytes_of(sibling(folder / "again", suffix))) << suffix;
  }
}

INSTANTIATE_TEST_SUITE_P(
    TokenFile, RealTokenFile,
    testing::Values(RealFile{"meg-gpt2-openwebtext_text_document", TokenType::uint16, 1000, 1361845},
                    RealFile{"ag_news_prompt_inputs_document", TokenType::int32, 100, 5945},
                    RealFile{"ag_news_prompt_targets_document", TokenType::int32, 100, 244}));

TEST(TokenFile, KnowsTheDocumentsOfARealFile) {
  const fs::path prefix =
      fs::path(MEGALITH_SHARED_DIR) / "data/megatron-indexed/meg-gpt2-openwebtext_text_document";
  if (!fs::exists(sibling(prefix, ".idx"))) GTEST_SKIP() << "the test data has no " << prefix;
  const auto file = value_or_throw(TokenFile::open(prefix));
  EXPECT_EQ(file->document(0).count, 1411);
  EXPECT_EQ(file->document(1).begin, 1411);
  EXPECT_EQ(file->document(2).begin, 2329);
  EXPECT_EQ(file->largest_id(), 4999);
  EXPECT_EQ(ids_of(*file, file->document(0)).back(), 4999);
  EXPECT_EQ(file->document_of(1410), 0);
  EXPECT_EQ(file->document_of(1411), 1);
}

}  // namespace
}  // namespace megalith
