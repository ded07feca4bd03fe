// Records to token ids.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "data/record_reader.h"
#include "data/record_text.h"
#include "data/tokenizer/token_encoder.h"

namespace megalith {

struct EncodedRecord {
  std::size_t num_ids = 0;      // those of the batch that follow the record before it
  std::size_t num_prompt = 0;   // the first of them
  std::int64_t bytes = 0;       // of the file's text that the record stands for
  std::int64_t text_bytes = 0;  // that were encoded
  std::int32_t file = 0;
  bool is_json = false;
  bool is_pair = false;
  std::string source;                    // of the record itself; empty: that of its file
  std::vector<Quarantined> quarantined;  // no ids where this is a line of JSON
};

struct EncodedBatch {
  std::vector<std::int32_t> ids;
  std::vector<EncodedRecord> records;
};

// Special tokens in texts are text. Prompt and completion are encoded one by one, as they are when a model is
// asked, so that the border lies between tokens.
EncodedBatch encode_records(const RecordBatch& batch, RecordParser& parser, TokenEncoder& encoder);

}  // namespace megalith
