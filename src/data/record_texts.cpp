#include "data/record_texts.h"

#include <utility>

namespace megalith {

RecordTexts::RecordTexts(std::vector<std::filesystem::path> files, RecordRules rules)
    : reader_(std::move(files), kWhole), parser_(std::move(rules)) {}

bool RecordTexts::next(std::string_view& text) {
  constexpr std::size_t kBatch = std::size_t{1} << 20;
  for (;;) {
    if (at_ == batch_.records.size()) {
      if (!reader_.next(batch_, kBatch)) return false;
      at_ = 0;
    }
    RecordText record = parser_.parse(batch_, batch_.records[at_++]);
    num_quarantined_ += static_cast<std::int64_t>(record.quarantined.size());
    if (record.empty()) continue;
    text_ = std::move(record.prompt) + record.text;
    text = text_;
    return true;
  }
}

}  // namespace megalith
