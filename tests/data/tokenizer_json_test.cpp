// tokenizer.json: what is accepted means what it says, everything else is refused by name.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "data/tokenizer/bpe_trainer.h"
#include "data/tokenizer/tokenizer.h"

namespace megalith {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

Tokenizer small_tokenizer() {
  TextsInMemory source({"the cat and the hat and the bat"});
  return value_or_throw(
      train_bpe(source, {.vocabulary_size = 264, .special_tokens = {"<|endoftext|>", "<|end|>"}}));
}

Json small_json() {
  return Json::parse(small_tokenizer().to_json());
}

std::vector<std::int32_t> encode(const Tokenizer& tokenizer, std::string_view text,
                                 SpecialTokens special = SpecialTokens::as_text) {
  std::vector<std::int32_t> ids;
  tokenizer.encode(text, ids, special);
  return ids;
}

// What the refusal says; empty when there is none.
std::string refusal_of(const std::string& text) {
  const Expected<Tokenizer> tokenizer = Tokenizer::parse_json(text, "t.json");
  return tokenizer ? "" : to_string(tokenizer.error());
}
std::string refusal_of(const Json& json) {
  return refusal_of(json.dump());
}

Json split_by(const char* regex) {
  return {{"type", "Split"}, {"pattern", {{"Regex", regex}}}, {"behavior", "Isolated"}, {"invert", false}};
}

// A Sequence of `steps` and ByteLevel without a pattern.
Json stages(std::vector<Json> steps) {
  steps.push_back(
      {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", false}});
  return {{"type", "Sequence"}, {"pretokenizers", steps}};
}

#define EXPECT_REFUSED(json, word) \
  EXPECT_NE(refusal_of(json).find(word), std::string::npos) << refusal_of(json)

TEST(TokenizerJson, ReadsBackWhatItWrote) {
  const Tokenizer tokenizer = small_tokenizer();
  const Tokenizer again = value_or_throw(Tokenizer::parse_json(tokenizer.to_json(), "t.json"));
  EXPECT_EQ(again.digest(), tokenizer.digest());
  EXPECT_EQ(again.to_json(), tokenizer.to_json());
  EXPECT_EQ(encode(again, "the hat<|end|>"), encode(tokenizer, "the hat<|end|>"));
}

TEST(TokenizerJson, TakesMergesAsTextsAndAsPairs) {
  Json json = small_json();
  for (Json& merge : json["model"]["merges"]) {
    const auto text = merge.get<std::string>();
    const std::size_t space = text.find(' ');
    merge = Json::array({text.substr(0, space), text.substr(space + 1)});
  }
  EXPECT_EQ(value_or_throw(Tokenizer::parse_json(json.dump(), "t.json")).digest(),
            small_tokenizer().digest());
}

TEST(TokenizerJson, TakesTheLongestAddedTokenFirst) {
  Json json = small_json();
  const std::int32_t next = small_tokenizer().vocabulary_size();
  json["added_tokens"].push_back(
      {{"id", next}, {"content", "<|end|>!"}, {"special", true}, {"normalized", false}});
  const Tokenizer tokenizer = value_or_throw(Tokenizer::parse_json(json.dump(), "t.json"));
  EXPECT_EQ(encode(tokenizer, "<|end|>!<|end|><|endoftext|>", SpecialTokens::recognized),
            (std::vector<std::int32_t>{next, 1, 0}));
}

TEST(TokenizerJson, MatchesAddedTokensThatAreNotSpecialInAnyText) {
  Json json = small_json();
  const std::int32_t next = small_tokenizer().vocabulary_size();
  json["added_tokens"].push_back(
      {{"id", next}, {"content", "   "}, {"special", false}, {"normalized", true}});
  const Tokenizer tokenizer = value_or_throw(Tokenizer::parse_json(json.dump(), "t.json"));
  EXPECT_EQ(encode(tokenizer, "   ")[0], next);
  EXPECT_EQ(value_or_throw(tokenizer.decode(encode(tokenizer, "a    <|end|>   "))), "a    <|end|>   ");
  const Tokenizer again = value_or_throw(Tokenizer::parse_json(tokenizer.to_json(), "t.json"));
  EXPECT_EQ(again.digest(), tokenizer.digest());
}

// `json` with an added token that is no special one.
Tokenizer with_word(Json json, const char* flag) {
  const std::int32_t next = small_tokenizer().vocabulary_size();
  json["added_tokens"].push_back(
      {{"id", next}, {"content", "hat"}, {"special", false}, {"normalized", false}, {flag, true}});
  return value_or_throw(Tokenizer::parse_json(json.dump(), "t.json"));
}

TEST(TokenizerJson, MatchesSingleWordsAndStripsWhiteSpaceWhereAsked) {
  const std::int32_t hat = small_tokenizer().vocabulary_size();
  const auto ids = [&](const Tokenizer& tokenizer, std::string_view text) { return encode(tokenizer, text); };
  const auto plain = [&](std::string_view text) { return encode(small_tokenizer(), text); };
  const Tokenizer single = with_word(small_json(), "single_word");
  EXPECT_EQ(ids(single, "hats"), plain("hats"));
  EXPECT_EQ(ids(single, "hat!"), (std::vector<std::int32_t>{hat, plain("!")[0]}));
  const Tokenizer left = with_word(small_json(), "lstrip");
  EXPECT_EQ(ids(left, "a  hat"), (std::vector<std::int32_t>{plain("a")[0], hat}));
  EXPECT_FALSE(left.lossless());
  const Tokenizer right = with_word(small_json(), "rstrip");
  EXPECT_EQ(ids(right, "hat \n a"), (std::vector<std::int32_t>{hat, plain("a")[0]}));
  for (const Tokenizer& tokenizer : {single, left, right}) {
    EXPECT_EQ(value_or_throw(Tokenizer::parse_json(tokenizer.to_json(), "t.json")).digest(),
              tokenizer.digest());
  }
}

TEST(TokenizerJson, NormalizesPutsASpaceInFrontAndTakesWholePiecesWhereAsked) {
  Json json = small_json();
  json["normalizer"] = {{"type", "Sequence"}, {"normalizers", {{{"type", "NFC"}}}}};
  const Tokenizer normal = value_or_throw(Tokenizer::parse_json(json.dump(), "t.json"));
  EXPECT_EQ(encode(normal, "e\xcc\x81"), encode(small_tokenizer(), "\xc3\xa9"));
  EXPECT_EQ(value_or_throw(normal.decode(encode(normal, "A\xcc\x8A\xff"))), "\xc3\x85\xff");
  json = small_json();
  json["pre_tokenizer"]["add_prefix_space"] = true;
  const Tokenizer space = value_or_throw(Tokenizer::parse_json(json.dump(), "t.json"));
  EXPECT_EQ(encode(space, "hat"), encode(small_tokenizer(), " hat"));
  EXPECT_EQ(encode(space, " hat"), encode(small_tokenizer(), " hat"));
  json = small_json();
  json["model"]["ignore_merges"] = true;
  json["model"]["merges"] = Json::array();
  const Tokenizer whole = value_or_throw(Tokenizer::parse_json(json.dump(), "t.json"));
  EXPECT_EQ(encode(whole, " the").size(), encode(small_tokenizer(), " the").size());
  EXPECT_GT(encode(whole, " thx").size(), encode(small_tokenizer(), " thx").size());
}

TEST(TokenizerJson, CutsTextByTheStagesOfTheFileAndWritesThemBack) {
  const auto with = [](std::vector<Json> steps) {
    Json json = small_json();
    json["pre_tokenizer"] = stages(std::move(steps));
    return json;
  };
  // "the" is one entry, unless a stage cuts it.
  const Json cutting = with({{{"type", "Digits"}, {"individual_digits", true}}, split_by("t(?=h)")});
  const Tokenizer tokenizer = value_or_throw(Tokenizer::parse_json(cutting.dump(), "t.json"));
  EXPECT_FALSE(tokenizer.pattern());
  EXPECT_TRUE(tokenizer.lossless());
  EXPECT_GT(encode(tokenizer, "the").size(), encode(small_tokenizer(), "the").size());
  EXPECT_EQ(Json::parse(tokenizer.to_json())["pre_tokenizer"], cutting["pre_tokenizer"]);
  const Tokenizer again = value_or_throw(Tokenizer::parse_json(tokenizer.to_json(), "t.json"));
  EXPECT_EQ(again.digest(), tokenizer.digest());
  EXPECT_NE(again.digest(), small_tokenizer().digest());
  const Tokenizer losing =
      value_or_throw(Tokenizer::parse_json(with({{{"type", "WhitespaceSplit"}}}).dump(), "t.json"));
  EXPECT_FALSE(losing.lossless());
  EXPECT_EQ(value_or_throw(losing.decode(encode(losing, "the hat"))), "thehat");
  // A known pattern stays what it is.
  const std::string regex(regex_of(PiecePattern::cl100k));
  EXPECT_EQ(value_or_throw(Tokenizer::parse_json(with({split_by(regex.c_str())}).dump(), "t.json")).pattern(),
            PiecePattern::cl100k);
}

TEST(TokenizerJson, RemembersWhatGoesAroundATextWithoutPuttingItThere) {
  Json json = small_json();
  json["post_processor"] = Json::parse(R"({"type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<|end|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
    "pair": [], "special_tokens": {"<|end|>": {"id": "<|end|>", "ids": [1], "tokens": ["<|end|>"]}}})");
  const Tokenizer tokenizer = value_or_throw(Tokenizer::parse_json(json.dump(), "t.json"));
  EXPECT_EQ(tokenizer.ids_before().size(), 1u);
  EXPECT_EQ(tokenizer.ids_before()[0], 1);
  EXPECT_TRUE(tokenizer.ids_after().empty());
  EXPECT_EQ(encode(tokenizer, "the"), encode(small_tokenizer(), "the"));
  EXPECT_EQ(value_or_throw(Tokenizer::parse_json(tokenizer.to_json(), "t.json")).digest(),
            tokenizer.digest());
}

TEST(TokenizerJson, RefusesWhatWouldChangeIdsByName) {
  const auto with = [](const char* pointer, const Json& value) {
    Json json = small_json();
    json[Json::json_pointer(pointer)] = value;
    return json;
  };
  EXPECT_REFUSED(with("/normalizer", {{"type", "NFKC"}}), "NFKC");
  EXPECT_REFUSED(with("/pre_tokenizer", {{"type", "Metaspace"}}), "Metaspace");
  EXPECT_REFUSED(with("/pre_tokenizer", nullptr), "pre_tokenizer");
  EXPECT_REFUSED(with("/pre_tokenizer/add_prefix_space", 3), "add_prefix_space");
  EXPECT_REFUSED(with("/pre_tokenizer/use_regex", 1), "use_regex");
  EXPECT_REFUSED(with("/pre_tokenizer", {{"type", "Digits"}}), "ByteLevel");
  EXPECT_REFUSED(with("/pre_tokenizer", stages({{{"type", "Punctuation"}, {"behavior", "Merged"}}})),
                 "behavior");
  EXPECT_REFUSED(with("/pre_tokenizer", stages({{{"type", "Split"}, {"behavior", "Isolated"}}})), "pattern");
  EXPECT_REFUSED(with("/pre_tokenizer", stages({split_by("(a)\\1")})), "\\1");
  EXPECT_REFUSED(with("/pre_tokenizer", stages({{{"type", "UnicodeScripts"}}})), "UnicodeScripts");
  EXPECT_REFUSED(with("/post_processor", {{"type", "TemplateProcessing"}}), "post_processor.single");
  EXPECT_REFUSED(with("/post_processor", {{"type", "BertProcessing"}}), "BertProcessing");
  EXPECT_REFUSED(with("/decoder", {{"type", "WordPiece"}}), "WordPiece");
  EXPECT_REFUSED(with("/truncation", {{"max_length", 5}}), "truncation");
  EXPECT_REFUSED(with("/padding", {{"strategy", "x"}}), "padding");
  EXPECT_REFUSED(with("/surprise", 1), "surprise");
  EXPECT_REFUSED(with("/model/type", "Unigram"), "Unigram");
  EXPECT_REFUSED(with("/model/type", "WordPiece"), "WordPiece");
  EXPECT_REFUSED(with("/model/dropout", 0.1), "dropout");
  EXPECT_REFUSED(with("/model/unk_token", "<unk>"), "unk_token");
  EXPECT_REFUSED(with("/model/byte_fallback", true), "byte_fallback");
  EXPECT_REFUSED(with("/model/ignore_merges", "yes"), "ignore_merges");
  EXPECT_REFUSED(with("/model/continuing_subword_prefix", "##"), "continuing_subword_prefix");
  EXPECT_REFUSED(with("/model/end_of_word_suffix", "</w>"), "end_of_word_suffix");
  EXPECT_REFUSED(with("/model/surprise", 1), "surprise");
  for (const char* flag : {"single_word", "lstrip", "rstrip"}) {
    EXPECT_REFUSED(with((std::string("/added_tokens/0/") + flag).c_str(), 1), flag);
  }
}

TEST(TokenizerJson, NamesAllThatIsWrongAtOnce) {
  Json json = small_json();
  json["normalizer"] = {{"type", "Lowercase"}};
  json["model"]["dropout"] = 0.5;
  EXPECT_REFUSED(json, "normalizer");
  EXPECT_REFUSED(json, "dropout");
}

TEST(TokenizerJson, RefusesEveryTruncation) {
  const std::string text = small_tokenizer().to_json();
  for (std::size_t size = 0; size + 2 < text.size(); size += 7) {
    EXPECT_FALSE(Tokenizer::parse_json(std::string_view(text).substr(0, size), "t.json"));
  }
}

TEST(TokenizerJson, RefusesWrongTypesEverywhere) {
  const Json good = small_json();
  for (const auto& value :
       {Json(nullptr), Json(1.5), Json(-3), Json("text"), Json(true), Json::array(), Json::object()}) {
    for (const char* pointer :
         {"", "/model", "/model/vocab", "/model/merges", "/model/merges/0", "/model/vocab/!",
          "/added_tokens/0", "/added_tokens/0/id", "/added_tokens/0/content"}) {
      Json json = good;
      json[Json::json_pointer(pointer)] = value;
      // An empty list of merges is a tokenizer (of single bytes); a text is a (different) content.
      if (std::string(pointer) == "/model/merges" && value == Json::array()) continue;
      EXPECT_NE(refusal_of(json), "") << pointer << " = " << value;
    }
  }
}

TEST(TokenizerJson, RefusesIdsWithHolesRepeatedOrHuge) {
  const std::int32_t size = small_tokenizer().vocabulary_size();
  for (const Json& id : {Json(size), Json(5), Json(std::uint64_t{1} << 31), Json(std::uint64_t{1} << 63),
                         Json(-1), Json(1e300)}) {
    Json json = small_json();
    json["model"]["vocab"]["a"] = id;
    EXPECT_NE(refusal_of(json), "") << id;
    json = small_json();
    json["added_tokens"][0]["id"] = id;
    EXPECT_NE(refusal_of(json), "") << id;
  }
}

TEST(TokenizerJson, RefusesVocabulariesThatWouldLoseBytes) {
  Json json = small_json();
  json["model"]["merges"] = Json::array();
  json["model"]["vocab"].erase("Ń");  // the last of the bytes
  json["model"]["vocab"]["ŃŃ"] = 257;
  EXPECT_REFUSED(json, "no piece for 1 of the 256 bytes");
}

TEST(TokenizerJson, RefusesMergesThatMakeNoSense) {
  for (const Json& merge :
       {Json("a zzz"), Json("a b"), Json("ab"), Json("a b c"), Json(" "), Json(""), Json("<|end|> a"),
        Json::array({"a"}), Json::array({"a", 1}), Json::array({"a", "b", "c"})}) {
    Json json = small_json();
    json["model"]["merges"].push_back(merge);
    EXPECT_REFUSED(json, "merges");
  }
  Json json = small_json();
  json["model"]["merges"].push_back(json["model"]["merges"][0]);
  EXPECT_REFUSED(json, "an earlier merge");
}

TEST(TokenizerJson, RefusesAddedTokensThatOrdinaryTextWouldSpell) {
  Json json = small_json();
  const auto merge = json["model"]["merges"][0].get<std::string>();
  std::string merged = merge;
  merged.erase(merged.find(' '), 1);
  json["added_tokens"].push_back(
      {{"id", json["model"]["vocab"][merged]}, {"content", merged}, {"special", true}});
  EXPECT_NE(refusal_of(json), "");
}

TEST(TokenizerJson, RefusesDeepNestingAndRepeatedKeys) {
  EXPECT_NE(refusal_of(std::string(1000000, '[')), "");
  EXPECT_REFUSED("{\"version\":" + std::string(100000, '[') + std::string(100000, ']') + "}", "nesting");
  EXPECT_REFUSED(std::string(R"({"version": 1, "version": 2})"), "twice");
  EXPECT_REFUSED(std::string("{\"a\xff\xfe"), "?");
  EXPECT_LT(refusal_of('"' + std::string(1000000, 'a')).size(), 1000u);
  EXPECT_NE(refusal_of(std::string()), "");
}

TEST(TokenizerFiles, RefusesWhatIsNoTokenizer) {
  const fs::path folder = fs::path(testing::TempDir()) / fmt::format("no-tokenizer-{}", ::getpid());
  fs::create_directories(folder);
  EXPECT_FALSE(Tokenizer::load(folder));
  EXPECT_FALSE(Tokenizer::load(folder / "missing.json"));
  std::ofstream(folder / "vocab.json") << "{\"a\": 0}";
  std::ofstream(folder / "merges.txt") << "#version: 0.2\na b\n";
  EXPECT_FALSE(Tokenizer::load(folder));
  fs::create_directories(folder / "tokenizer.json");
  EXPECT_FALSE(Tokenizer::load(folder));
  fs::remove_all(folder);
}

TEST(TokenizerFiles, RefusesDamagedMergesWithTheirLine) {
  Json vocabulary = small_json()["model"]["vocab"];
  vocabulary.erase("<|end|>");
  vocabulary["zz"] = 1;
  const auto read = [&](std::string_view merges) {
    return Tokenizer::parse_gpt2_files(vocabulary.dump(), "vocab.json", merges, "merges.txt");
  };
  EXPECT_TRUE(read("#version: 0.2\r\nz z\r\n"));
  const Expected<Tokenizer> damaged = read("#version: 0.2\nz z\nz\n");
  ASSERT_FALSE(damaged);
  EXPECT_NE(to_string(damaged.error()).find("merges.txt:3"), std::string::npos) << to_string(damaged.error());
  EXPECT_FALSE(read("q z\n"));
  EXPECT_FALSE(read(std::string_view("\0 z\n", 4)));
}

}  // namespace
}  // namespace megalith
