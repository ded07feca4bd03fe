// The vocabulary of a GGUF file as a tokenizer.json: published ids come with vocabularies of that kind.
#pragma once

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "core/file.h"
#include "data/tokenizer/byte_level.h"

namespace megalith {

class GgufVocabulary {
 public:
  explicit GgufVocabulary(const std::filesystem::path& path)
      : bytes_(value_or_throw(read_file(path, 64 << 20))) {
    at_ = 16;  // magic, version, number of tensors
    for (auto pairs = number<std::uint64_t>(); pairs > 0; --pairs) {
      const std::string key = text();
      const auto type = number<std::uint32_t>();
      if (key == "tokenizer.ggml.tokens") {
        tokens_ = texts();
      } else if (key == "tokenizer.ggml.merges") {
        merges_ = texts();
      } else if (key == "tokenizer.ggml.token_type") {
        number<std::uint32_t>();
        types_.resize(number<std::uint64_t>());
        for (auto& token_type : types_) token_type = number<std::int32_t>();
      } else if (type == 8) {
        text();
      } else {
        at_ += type == 0 || type == 1 || type == 7 ? 1 : type == 2 || type == 3 ? 2 : type >= 10 ? 8 : 4;
      }
    }
  }

  // Merges and tokens as they are, special ones as added tokens, and this pre-tokenizer. Bytes that the
  // vocabulary lacks (Falcon's has no entry for some control characters, and is refused by itself) get ids
  // behind the others.
  [[nodiscard]] std::string tokenizer_json(std::string_view pre_tokenizer) const {
    constexpr std::int32_t kSpecial = 3;
    nlohmann::json json = {{"pre_tokenizer", nlohmann::json::parse(pre_tokenizer)},
                           {"model", {{"type", "BPE"}, {"merges", merges_}}}};
    for (std::size_t id = 0; id < tokens_.size(); ++id) {
      json["model"]["vocab"][tokens_[id]] = id;
      if (types_[id] != kSpecial) continue;
      json["added_tokens"].push_back(
          {{"id", id}, {"content", tokens_[id]}, {"special", true}, {"normalized", false}});
    }
    nlohmann::json& vocabulary = json["model"]["vocab"];
    for (int byte = 0; byte < 256; ++byte) {
      const std::string key = byte_level_key(std::string(1, static_cast<char>(byte)));
      if (!vocabulary.contains(key)) vocabulary[key] = vocabulary.size();
    }
    return json.dump();
  }

 private:
  template <class Number>
  Number number() {
    Number value;
    std::memcpy(&value, bytes_.data() + at_, sizeof value);
    at_ += sizeof value;
    return value;
  }
  std::string text() {
    const auto size = number<std::uint64_t>();
    at_ += size;
    return bytes_.substr(at_ - size, size);
  }
  std::vector<std::string> texts() {
    number<std::uint32_t>();
    std::vector<std::string> list(number<std::uint64_t>());
    for (std::string& entry : list) entry = text();
    return list;
  }

  std::string bytes_;
  std::size_t at_ = 0;
  std::vector<std::string> tokens_, merges_;
  std::vector<std::int32_t> types_;
};

}  // namespace megalith
