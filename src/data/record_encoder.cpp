#include "data/record_encoder.h"

#include <utility>

namespace megalith {

EncodedBatch encode_records(const RecordBatch& batch, RecordParser& parser, TokenEncoder& encoder) {
  EncodedBatch encoded;
  encoded.ids.reserve(batch.bytes.size() / 3);
  for (const Record& record : batch.records) {
    RecordText text = parser.parse(batch, record);
    const std::size_t before = encoded.ids.size();
    encoder.encode(text.prompt, encoded.ids);
    const std::size_t num_prompt = encoded.ids.size() - before;
    encoder.encode(text.text, encoded.ids);
    encoded.records.push_back({.num_ids = encoded.ids.size() - before,
                               .num_prompt = num_prompt,
                               .bytes = record.bytes,
                               .text_bytes = static_cast<std::int64_t>(text.prompt.size() + text.text.size()),
                               .file = record.file,
                               .is_json = record.is_json,
                               .is_pair = text.is_pair,
                               .source = std::move(text.source),
                               .quarantined = std::move(text.quarantined)});
  }
  return encoded;
}

}  // namespace megalith
