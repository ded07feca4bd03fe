// What a record says: its text, or why it has none.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "data/record_reader.h"

namespace megalith {

// Bytes that do not go into training, and why.
struct Quarantined {
  std::int64_t offset = 0;  // of the file's text, unpacked
  std::int64_t bytes = 0;
  std::string reason;
  std::string excerpt;  // of these bytes, printable
};

struct RecordText {
  std::string prompt;  // of {"prompt", "completion"}
  std::string text;    // the completion there
  bool is_pair = false;
  std::string source;                    // The Pile's name of the set; empty where the record does not tell
  std::vector<Quarantined> quarantined;  // a line of JSON is there as a whole or not at all
  [[nodiscard]] bool empty() const { return prompt.empty() && text.empty(); }
};

struct RecordRules {
  std::string text_key = "text";
  bool keep_invalid_bytes = false;  // plain text with bytes that are not UTF-8 keeps them
};

// Reads records from one thread; keeps scratch memory between them.
//
// Plain text: the block without the bytes that are not UTF-8, each run of which is quarantined. A line of
// JSON: an object with a text under `text_key`, or with "prompt" and "completion"; "meta": {"pile_set_name":
// ...} is its source. A blank line, a text of nothing but white space and a completion without anything give
// an empty text. Everything else (no JSON, nothing of that kind in it, half a surrogate pair, too long) is
// quarantined.
class RecordParser {
 public:
  explicit RecordParser(RecordRules rules);
  ~RecordParser();
  RecordParser(RecordParser&& other) noexcept;
  RecordParser& operator=(RecordParser&&) = delete;

  RecordText parse(const RecordBatch& batch, const Record& record);

 private:
  RecordText parse_line(std::string_view line, const Record& record);
  bool read_line(std::string_view line, RecordText& result, std::string& reason);

  struct Scratch;
  RecordRules rules_;
  std::unique_ptr<Scratch> scratch_;
};

}  // namespace megalith
