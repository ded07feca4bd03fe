// A byte-level byte-pair tokenizer: text to ids and back, without loss on any bytes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "data/tokenizer/piece_pattern.h"

namespace megalith {

struct TokenizerModel;
struct TokenizerParts;

// What becomes of the spelling of a special token, such as "<|endoftext|>", in the text to encode.
enum class SpecialTokens {
  as_text,     // it is encoded like any other text: nobody can smuggle one in
  recognized,  // it becomes the special token's id
};

// A token that is matched as a whole, before the pattern and the merges see the text.
struct AddedToken {
  std::int32_t id = 0;
  // false: part of the ordinary vocabulary (runs of spaces, say), matched with SpecialTokens::as_text too.
  bool special = true;
  // Hugging Face's `normalized`: matched in what is left after all tokens without it have been matched.
  bool second_pass = false;
  bool single_word = false;  // matched only where no character of a word comes before or after
  // The match takes the white space before it, or behind it, which decoding does not give back.
  bool lstrip = false;
  bool rstrip = false;
};

// Immutable; copies share one model. Every method may be called from many threads at once.
class Tokenizer {
 public:
  // `path` is a tokenizer.json, a tiktoken rank file, or a folder with tokenizer.json, with vocab.json and
  // merges.txt, with encoder.json and vocab.bpe (GPT-2's names), or with one .tiktoken file. In the two pairs
  // a vocabulary entry <|endoftext|> is the special token. `pattern` is for rank files only: see
  // parse_rank_file. Refused: whatever in these files cannot be honoured exactly (docs/tokenizers.md lists
  // what can).
  static Expected<Tokenizer> load(const std::filesystem::path& path,
                                  std::optional<PiecePattern> pattern = std::nullopt);

  // The text of a tokenizer.json; `name` stands for it in refusals.
  static Expected<Tokenizer> parse_json(std::string_view text, std::string_view name);

  // The texts of GPT-2's vocabulary and merges files.
  static Expected<Tokenizer> parse_gpt2_files(std::string_view vocabulary, std::string_view vocabulary_name,
                                              std::string_view merges, std::string_view merges_name);

  // The text of a tiktoken rank file: a token in base64, a space and its rank on each line. The published
  // vocabularies are known by their size and get their pattern and special tokens (ids that those leave out
  // become special tokens <|unused_ID|>); for any other `pattern` has to be given, and there are no special
  // tokens. `pattern` overrides a known size's.
  static Expected<Tokenizer> parse_rank_file(std::string_view text, std::string_view name,
                                             std::optional<PiecePattern> pattern = std::nullopt);

  // Refused, `name` first: pieces, merges and added tokens that do not make a lossless tokenizer.
  static Expected<Tokenizer> build(TokenizerParts parts, std::string_view name);

  // The tokenizer.json that parse_json and Hugging Face's `tokenizers` read as this tokenizer. Equal
  // tokenizers give equal bytes.
  [[nodiscard]] std::string to_json() const;
  // Writes to_json() to `path`, atomically. Throws WorldFailed.
  void save(const std::filesystem::path& path) const;

  // Appends the ids of `text`. Time O(n log n) at worst and linear on text that people write, whatever the
  // bytes. For many short texts use a TokenEncoder, which remembers pieces between calls.
  void encode(std::string_view text, std::vector<std::int32_t>& ids,
              SpecialTokens special = SpecialTokens::as_text) const;

  // The bytes the ids stand for: the text that was encoded, where lossless(); not valid UTF-8 where the ids
  // cut a character. Refused: ids outside the vocabulary.
  [[nodiscard]] Expected<std::string> decode(std::span<const std::int32_t> ids) const;

  // REQUIRES: 0 <= id < vocabulary_size(). Valid while any copy of this tokenizer lives.
  [[nodiscard]] std::string_view bytes_of(std::int32_t id) const;

  // Largest id + 1. Ids have no holes.
  [[nodiscard]] std::int32_t vocabulary_size() const;

  // Whether decoding gives back every text. Not where the file asks for normalization form C, for a space in
  // front, or for tokens that take white space with them, or has no entry for a byte that never occurs in
  // UTF-8 (such bytes become U+FFFD); then decoding and encoding again changes nothing more.
  [[nodiscard]] bool lossless() const;

  [[nodiscard]] PiecePattern pattern() const;

  // What the file's post-processor puts before and after a text (such as <|begin_of_text|>). encode() never
  // does; it gives what Hugging Face's encode gives with add_special_tokens=False.
  [[nodiscard]] std::span<const std::int32_t> ids_before() const;
  [[nodiscard]] std::span<const std::int32_t> ids_after() const;

  // Of the special token <|endoftext|>, or where there is none <|end_of_text|> or </s>.
  [[nodiscard]] std::optional<std::int32_t> end_of_document() const;

  // In increasing order of id; bytes_of gives their text.
  [[nodiscard]] std::span<const AddedToken> added_tokens() const;

  // Of everything that decides which ids a text gets. Files that differ in spelling only have equal digests.
  [[nodiscard]] std::uint64_t digest() const;

  [[nodiscard]] const TokenizerModel& model() const { return *model_; }

 private:
  explicit Tokenizer(std::shared_ptr<const TokenizerModel> model) : model_(std::move(model)) {}
  std::shared_ptr<const TokenizerModel> model_;
};

}  // namespace megalith
