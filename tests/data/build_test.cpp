// From text to token files: no byte is lost or counted twice, and what was written verifies.
#include "data/build.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/digest.h"
#include "data/scratch_folder.h"
#include "data/token_file.h"
#include "data/tokenizer/bpe_trainer.h"
#include "data/verify.h"

namespace megalith {
namespace {

namespace fs = std::filesystem;

Tokenizer tokenizer_with(std::vector<std::string> special) {
  TextsInMemory source({"the cat sat on the mat and the hat"});
  return value_or_throw(train_bpe(source, {.vocabulary_size = 270, .special_tokens = std::move(special)}));
}
const Tokenizer& tokenizer() {
  static const Tokenizer one = tokenizer_with({"<|endoftext|>"});
  return one;
}

std::string lines(int count, int first) {
  std::string text;
  for (int i = first; i < first + count; ++i) text += fmt::format("the cat no. {} s\xc3\xa1t\n", i);
  return text;
}

std::vector<std::string> documents_of(const fs::path& prefix, const Tokenizer& by) {
  const auto file = value_or_throw(TokenFile::open(prefix));
  std::vector<std::string> texts;
  for (std::int64_t d = 0; d < file->num_documents(); ++d) {
    const TokenRange range = file->document(d);
    std::vector<std::int32_t> ids(static_cast<std::size_t>(range.count));
    file->read(range.begin, range.count, ids.data());
    texts.push_back(value_or_throw(by.decode(ids)));
  }
  return texts;
}

std::string joined(const std::vector<std::string>& texts) {
  std::string all;
  for (const std::string& text : texts) all += text;
  return all;
}

std::string refusal_of(const Expected<void>& result) {
  return result ? "" : to_string(result.error());
}

TEST(BuildTokenFiles, HoldsOutEveryNthBlockAndLosesNothing) {
  const ScratchFolder folder;
  // Lines of 20 bytes, so two a block.
  write_bytes(folder / "a", "\xef\xbb\xbf" + lines(14, 10));
  write_bytes(folder / "b", lines(7, 30));
  const BuildReport report = value_or_throw(
      build_token_files(std::vector{folder / "a", folder / "b"}, tokenizer(),
                        {.output_prefix = folder / "t", .held_out_every = 4, .block_bytes = 30}));
  const std::string end = "<|endoftext|>";
  EXPECT_EQ(documents_of(folder / "t-train", tokenizer()),
            (std::vector{lines(6, 10) + end, lines(6, 18) + end, lines(5, 32) + end}));
  EXPECT_EQ(documents_of(folder / "t-held_out", tokenizer()),
            (std::vector{lines(2, 16) + end, lines(2, 30) + end}));
  EXPECT_EQ(report.files, 2);
  EXPECT_EQ(report.mark_bytes, 3);
  EXPECT_EQ(report.bytes_read, 3 + 21 * 20);
  EXPECT_EQ(report.training.bytes, 17 * 20);
  EXPECT_EQ(report.held_out.bytes, 4 * 20);
  EXPECT_EQ(report.training.documents, 3);
  EXPECT_EQ(report.held_out.documents, 2);
  EXPECT_EQ(report.training.tokens, value_or_throw(TokenFile::open(folder / "t-train"))->num_tokens());
  EXPECT_EQ(report.held_out.records, 2);
  EXPECT_EQ(report.kept_bytes, 21 * 20);
}

TEST(BuildTokenFiles, WritesOneFileWhenNothingIsHeldOut) {
  const ScratchFolder folder;
  write_bytes(folder / "a", lines(30, 10));
  write_bytes(folder / "b", "no line end");
  const Tokenizer plain = tokenizer_with({});
  const BuildReport report = value_or_throw(
      build_token_files(std::vector{folder / "a", folder / "b"}, plain,
                        {.output_prefix = folder / "t", .held_out_every = 0, .block_bytes = 64}));
  EXPECT_EQ(documents_of(folder / "t", plain), (std::vector<std::string>{lines(30, 10), "no line end"}));
  EXPECT_EQ(report.held_out.bytes, 0);
  EXPECT_EQ(report.training.bytes, 30 * 20 + 11);
  EXPECT_FALSE(fs::exists(folder / "t-train.idx"));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator{}), 2 + 4);
}

TEST(BuildTokenFiles, KeepsEveryByteOfTextsThatAreNoUtf8WhereAsked) {
  const ScratchFolder folder;
  std::string text;
  for (int i = 0; i < 300000; ++i) {
    const char c = static_cast<char>((i * 2654435761u) >> 13);
    text += c == 0 || (c == '\n' && i < 200000) ? 'x' : c;
  }
  write_bytes(folder / "a", text);
  value_or_throw(build_token_files(std::vector{folder / "a"}, tokenizer_with({}),
                                   {.output_prefix = folder / "t",
                                    .held_out_every = 0,
                                    .block_bytes = 1,
                                    .rules = {.keep_invalid_bytes = true}}));
  EXPECT_TRUE(joined(documents_of(folder / "t", tokenizer_with({}))) == text);
}

TEST(BuildTokenFiles, TakesSpecialTokensInTheTextAsText) {
  const ScratchFolder folder;
  write_bytes(folder / "a", "a<|endoftext|>b");
  value_or_throw(
      build_token_files(std::vector{folder / "a"}, tokenizer(),
                        {.output_prefix = folder / "t", .held_out_every = 0, .block_bytes = 4096}));
  const auto file = value_or_throw(TokenFile::open(folder / "t"));
  std::vector<std::int32_t> ids(static_cast<std::size_t>(file->num_tokens()));
  file->read(0, file->num_tokens(), ids.data());
  EXPECT_EQ(std::count(ids.begin(), ids.end(), *tokenizer().end_of_document()), 1);
}

TEST(BuildTokenFiles, GivesEqualBytesForEqualInputs) {
  const ScratchFolder folder;
  write_bytes(folder / "a", lines(90, 10));
  for (const char* prefix : {"one/t", "two/t"}) {
    value_or_throw(
        build_token_files(std::vector{folder / "a"}, tokenizer(),
                          {.output_prefix = folder / prefix, .held_out_every = 5, .block_bytes = 50}));
  }
  for (const char* name : {"t-train.bin", "t-train.idx", "t-train.meta.json", "t-held_out.bin",
                           "t-held_out.idx", "t-held_out.meta.json"}) {
    EXPECT_EQ(bytes_of(folder / "one" / name), bytes_of(folder / "two" / name)) << name;
  }
}

TEST(BuildTokenFiles, RefusesBadInputAndLeavesNothing) {
  const ScratchFolder folder;
  write_bytes(folder / "a", lines(10, 10));
  const auto refusal = [&](const BuildOptions& options, const char* file) {
    const auto result = build_token_files(std::vector{folder / file}, tokenizer(), options);
    return result ? "" : to_string(result.error());
  };
  const fs::path prefix = folder / "t";
  EXPECT_NE(refusal({.output_prefix = prefix}, "missing").find("missing"), std::string::npos);
  EXPECT_NE(refusal({.output_prefix = prefix}, "a").find("1 blocks of text, 200 bytes"), std::string::npos);
  EXPECT_NE(refusal({.output_prefix = prefix, .held_out_every = 1}, "a").find("held-out every"),
            std::string::npos);
  EXPECT_NE(refusal({.output_prefix = prefix, .held_out_every = -1}, "a").find("held-out every"),
            std::string::npos);
  EXPECT_NE(refusal({.output_prefix = prefix, .block_bytes = 0}, "a").find("block bytes"), std::string::npos);
  EXPECT_NE(refusal({.output_prefix = prefix, .block_bytes = 65537}, "a").find("block bytes"),
            std::string::npos);
  EXPECT_NE(refusal({.output_prefix = folder / ""}, "a").find("output prefix"), std::string::npos);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator{}), 1);
}

class VerifyTokenFile : public testing::Test {
 protected:
  VerifyTokenFile() {
    write_bytes(folder / "a", lines(50, 10));
    value_or_throw(build_token_files(std::vector{folder / "a"}, tokenizer(),
                                     {.output_prefix = prefix, .held_out_every = 0, .block_bytes = 4096}));
  }
  ScratchFolder folder;
  fs::path prefix = folder / "t";
};

TEST_F(VerifyTokenFile, AcceptsWhatWasBuiltAndSaysWhatIsInIt) {
  EXPECT_EQ(refusal_of(verify_token_files(prefix)), "");
  const auto meta = nlohmann::json::parse(bytes_of(folder / "t.meta.json"));
  EXPECT_EQ(meta["vocabulary"], tokenizer().vocabulary_size());
  EXPECT_EQ(meta["tokenizer_digest"], to_hex(tokenizer().digest()));
  EXPECT_EQ(meta["bytes"], 1000);
  EXPECT_EQ(meta["sources"][0]["path"], (folder / "a").string());
  EXPECT_EQ(meta["sources"][0]["bytes"], 1000);
  const std::string source = bytes_of(folder / "a");
  EXPECT_EQ(meta["sources"][0]["digest"], to_hex(digest_bytes(source.data(), source.size())));
  const TokenFileFacts facts = value_or_throw(inspect_token_files(prefix));
  EXPECT_EQ(facts.documents, 1);
  EXPECT_EQ(facts.sequences, 1);
  EXPECT_EQ(facts.tokens, meta["tokens"]);
  EXPECT_EQ(facts.type, "uint16");
  EXPECT_EQ(facts.shortest_document, facts.tokens);
  EXPECT_EQ(facts.median_document, facts.tokens);
  EXPECT_EQ(facts.longest_document, facts.tokens);
  EXPECT_GE(facts.largest_id, 256);  // a merge
  EXPECT_EQ(facts.vocabulary, tokenizer().vocabulary_size());
}

TEST_F(VerifyTokenFile, FindsFlippedBitsOfTheTokens) {
  const std::string whole = bytes_of(folder / "t.bin");
  for (std::size_t at = 0; at < whole.size(); at += 97) {
    std::string flipped = whole;
    flipped[at] = static_cast<char>(flipped[at] ^ 1);
    write_bytes(folder / "t.bin", flipped);
    EXPECT_NE(refusal_of(verify_token_files(prefix)).find("t.bin: found digest"), std::string::npos) << at;
  }
}

TEST_F(VerifyTokenFile, FindsIdsOutsideTheVocabulary) {
  auto meta = nlohmann::json::parse(bytes_of(folder / "t.meta.json"));
  meta["vocabulary"] = 200;
  write_bytes(folder / "t.meta.json", meta.dump());
  const std::string refusal = refusal_of(verify_token_files(prefix));
  EXPECT_NE(refusal.find("allowed: ids 0..199"), std::string::npos) << refusal;
  const auto file = value_or_throw(TokenFile::open(prefix));
  std::int64_t first = 0;
  for (std::int32_t id = 0; file->read(first, 1, &id), id < 200;) ++first;
  EXPECT_NE(refusal.find(fmt::format("at byte {}, token {};", 2 * first, first)), std::string::npos)
      << refusal;
}

TEST_F(VerifyTokenFile, NeedsNoMetaFile) {
  fs::remove(folder / "t.meta.json");
  EXPECT_EQ(refusal_of(verify_token_files(prefix)), "");
  EXPECT_EQ(value_or_throw(inspect_token_files(prefix)).vocabulary, std::nullopt);
}

TEST_F(VerifyTokenFile, RefusesADamagedMetaFile) {
  const std::string whole = bytes_of(folder / "t.meta.json");
  for (std::size_t size = 0; size + 2 < whole.size(); size += 7) {
    write_bytes(folder / "t.meta.json", whole.substr(0, size));
    EXPECT_NE(refusal_of(verify_token_files(prefix)).find("t.meta.json"), std::string::npos) << size;
  }
  const auto good = nlohmann::json::parse(whole);
  for (const auto& field : good.items()) {
    for (const auto& bad :
         {nlohmann::json(-1), nlohmann::json("x"), nlohmann::json::array({1}), nlohmann::json()}) {
      if (field.key() == "part" && bad.is_string()) continue;
      auto meta = good;
      meta[field.key()] = bad;
      write_bytes(folder / "t.meta.json", meta.dump());
      EXPECT_NE(refusal_of(verify_token_files(prefix)).find("t.meta.json"), std::string::npos)
          << field.key() << bad;
    }
    auto meta = good;
    meta.erase(field.key());
    write_bytes(folder / "t.meta.json", meta.dump());
    EXPECT_NE(refusal_of(verify_token_files(prefix)).find("t.meta.json"), std::string::npos) << field.key();
  }
}

}  // namespace
}  // namespace megalith
