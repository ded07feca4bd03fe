// The texts of files, one after the other, for the training of a tokenizer.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "data/record_reader.h"
#include "data/record_text.h"
#include "data/tokenizer/text_source.h"

namespace megalith {

// Gives what token files are built from: what is quarantined there is left out here. A plain text of up to
// 64 MiB comes as a whole. Throws as RecordReader does.
class RecordTexts final : public TextSource {
 public:
  RecordTexts(std::vector<std::filesystem::path> files, RecordRules rules);
  bool next(std::string_view& text) override;
  // Of lines of JSON, or runs of bytes in plain text.
  [[nodiscard]] std::int64_t num_quarantined() const { return num_quarantined_; }

 private:
  static constexpr std::size_t kWhole = std::size_t{64} << 20;

  RecordReader reader_;
  RecordParser parser_;
  RecordBatch batch_;
  std::size_t at_ = 0;  // in batch_.records
  std::string text_;
  std::int64_t num_quarantined_ = 0;
};

}  // namespace megalith
