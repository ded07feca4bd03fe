#include "data/tokenizer/pipeline_json.h"

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "data/tokenizer/json_checks.h"
#include "data/tokenizer/pre_tokenizer_json.h"
#include "data/tokenizer/strict_json.h"

namespace megalith {
namespace {

using Json = nlohmann::json;

class PipelineReader {
 public:
  explicit PipelineReader(PartsReader& parts) : parts_(parts), checks_(parts) {}

  void read(const Json& document) {
    const auto value_of = [&](const char* key) { return document.contains(key) ? document[key] : Json(); };
    read_normalizer(value_of("normalizer"), "normalizer");
    const Json pre_tokenizer = value_of("pre_tokenizer");
    read_pre_tokenizer(steps_of(pre_tokenizer, "pre_tokenizer", "pretokenizers"), pre_tokenizer, parts_);
    read_post_processor(value_of("post_processor"), "post_processor");
    read_decoder(value_of("decoder"));
  }

 private:
  // The steps of a Sequence; a lone step is a sequence of one, and null of none. `list` is the key of the
  // steps.
  std::vector<Json> steps_of(const Json& value, const std::string& where, const char* list) {
    if (value.is_null()) return {};
    if (!JsonChecks::is_of_type(value, "Sequence")) return {value};
    checks_.check_keys(value, where + ".", {"type", list});
    if (value.contains(list) && value[list].is_array()) {
      return {value[list].begin(), value[list].end()};
    }
    parts_.refuse_because(where + "." + list, value.contains(list) ? kind_of(value[list]) : "nothing",
                          "an array");
    return {};
  }

  void read_normalizer(const Json& value, const std::string& where) {
    for (const Json& step : steps_of(value, where, "normalizers")) {
      if (JsonChecks::is_of_type(step, "NFC")) {
        checks_.check_keys(step, where + ".", {"type"});
        parts_.parts().nfc = true;
      } else {
        parts_.refuse_because(where, JsonChecks::describe(step), "null or NFC");
      }
    }
  }

  void read_post_processor(const Json& value, const std::string& where) {
    for (const Json& step : steps_of(value, where, "processors")) {
      if (JsonChecks::is_of_type(step, "ByteLevel")) continue;  // moves offsets, not ids
      if (JsonChecks::is_of_type(step, "TemplateProcessing")) {
        read_template(step, where);
      } else {
        parts_.refuse_because(where, JsonChecks::describe(step), "null, ByteLevel or TemplateProcessing");
      }
    }
  }

  // Only "single" concerns us: it says what goes around one text.
  void read_template(const Json& step, const std::string& where) {
    checks_.check_keys(step, where + ".", {"type", "single", "pair", "special_tokens"});
    const auto single = step.find("single");
    if (single == step.end() || !single->is_array() || !parts_.parts().before.empty() ||
        !parts_.parts().after.empty()) {
      parts_.refuse_because(where + ".single", single == step.end() ? "nothing" : kind_of(*single),
                            "an array, once");
      return;
    }
    int texts = 0;
    for (const Json& item : *single) {
      if (item.is_object() && item.size() == 1 && item.contains("Sequence")) {
        ++texts;
      } else if (item.is_object() && item.size() == 1 && item.contains("SpecialToken")) {
        read_template_token(item["SpecialToken"], step, where,
                            texts == 0 ? parts_.parts().before : parts_.parts().after);
      } else {
        parts_.refuse_because(where + ".single", kind_of(item), "SpecialToken or Sequence");
      }
    }
    if (texts != 1) parts_.refuse_because(where + ".single", fmt::format("{} times the text", texts), "once");
  }

  void read_template_token(const Json& token, const Json& step, const std::string& where,
                           std::vector<std::int32_t>& ids) {
    const auto refuse_token = [&] {
      parts_.refuse_because(where + ".special_tokens", "a token of the template without its ids",
                            "\"NAME\": {\"ids\": [...]} for each");
    };
    if (!token.is_object() || !token.contains("id") || !token["id"].is_string()) return refuse_token();
    const auto all = step.find("special_tokens");
    if (all == step.end() || !all->is_object()) return refuse_token();
    const auto entry = all->find(token["id"].get_ref<const std::string&>());
    if (entry == all->end() || !entry->is_object() || !entry->contains("ids") || !(*entry)["ids"].is_array())
      return refuse_token();
    for (const Json& id : (*entry)["ids"]) {
      if (!id.is_number_unsigned() || id.get<std::uint64_t>() >= kLargestVocabulary) return refuse_token();
      ids.push_back(static_cast<std::int32_t>(id.get<std::uint64_t>()));
    }
  }

  void read_decoder(const Json& value) {
    for (const Json& step : steps_of(value, "decoder", "decoders")) {
      if (JsonChecks::is_of_type(step, "ByteLevel")) continue;
      parts_.refuse_because("decoder", JsonChecks::describe(step), "null or ByteLevel");
    }
  }

  PartsReader& parts_;
  JsonChecks checks_;
};

}  // namespace

void read_pipeline(const nlohmann::json& document, PartsReader& parts) {
  PipelineReader(parts).read(document);
}

}  // namespace megalith
