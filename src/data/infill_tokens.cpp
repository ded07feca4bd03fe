#include "data/infill_tokens.h"

#include <optional>

#include "data/tokenizer/tokenizer_model.h"

namespace megalith {
namespace {

// Also those that are not called special: some published vocabularies declare theirs so.
std::optional<std::int32_t> added_token(const Tokenizer& tokenizer, std::string_view text) {
  for (const AddedToken& token : tokenizer.added_tokens()) {
    if (tokenizer.bytes_of(token.id) == text) return token.id;
  }
  return std::nullopt;
}

}  // namespace

std::vector<std::string> usual_infill_tokens() {
  return {"<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"};
}

Expected<InfillTokens> find_infill_tokens(const Tokenizer& tokenizer, std::span<const std::string> names,
                                          const std::string& where) {
  MEGALITH_CHECK(names.size() == 3, "{} names", names.size());
  Refusals problems;
  const auto id_or_refuse = [&](const std::optional<std::int32_t>& id, const std::string& name) {
    if (!id) {
      problems.push_back({.where = where,
                          .found = fmt::format("a tokenizer without the added token {}", name),
                          .allowed = "a tokenizer with the tokens of data.infill_tokens and <|endoftext|>",
                          .nearest = "megalith tokenizer train --infill"});
    }
    return id.value_or(0);
  };
  const InfillTokens tokens{.prefix = id_or_refuse(added_token(tokenizer, names[0]), names[0]),
                            .suffix = id_or_refuse(added_token(tokenizer, names[1]), names[1]),
                            .middle = id_or_refuse(added_token(tokenizer, names[2]), names[2]),
                            .end = id_or_refuse(tokenizer.end_of_document(), "<|endoftext|>")};
  if (tokenizer.model().parts.prefix_space) {
    problems.push_back({.where = where,
                        .found = "a tokenizer that puts a space in front of every text",
                        .allowed = "one that gives the parts of a text back as they were",
                        .nearest = ""});
  }
  if (!problems.empty()) return refuse(std::move(problems));
  return tokens;
}

std::vector<std::int32_t> infill_prompt(const Tokenizer& tokenizer, const InfillTokens& tokens,
                                        std::string_view left, std::string_view right) {
  std::vector<std::int32_t> ids = {tokens.prefix};
  tokenizer.encode(left, ids);
  ids.push_back(tokens.suffix);
  tokenizer.encode(right, ids);
  ids.push_back(tokens.middle);
  return ids;
}

}  // namespace megalith
