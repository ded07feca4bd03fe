// The two things that all vocabulary files hold: a JSON object from spelling to id, and a list of merges of
// spellings.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/error.h"
#include "data/tokenizer/tokenizer_model.h"

namespace megalith {

// Collects pieces and merges from files into TokenizerParts. Problems are collected too: up to ten, then it
// stops.
class PartsReader {
 public:
  explicit PartsReader(std::string_view name) : name_(name) {}

  // An added token, before the vocabulary that may spell it.
  void add_token(const AddedToken& token, std::string content);
  // `where` names the object in refusals.
  void read_vocabulary(const nlohmann::json& vocabulary, std::string_view where);
  // To be called once the vocabulary is there, in order of rank.
  void add_merge(std::string_view left, std::string_view right, std::string_view where);
  void refuse_because(std::string_view where, std::string found, std::string allowed,
                      std::string nearest = "");
  // What is not read by one of the above is put in here.
  [[nodiscard]] TokenizerParts& parts() { return parts_; }
  [[nodiscard]] bool any_problem() const { return !refusals_.empty(); }

  Expected<Tokenizer> finish() &&;

 private:
  std::string name_;
  Refusals refusals_;
  TokenizerParts parts_;
  std::vector<std::string> added_contents_;            // of parts_.added
  std::unordered_map<std::string, std::int32_t> ids_;  // by spelling
};

}  // namespace megalith
