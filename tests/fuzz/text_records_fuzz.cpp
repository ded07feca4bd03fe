// Any bytes, under any name, are text that is read to its end or refused; the books of what was read balance.
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "core/file.h"
#include "data/record_reader.h"
#include "data/record_text.h"

namespace {

void read_as(const std::filesystem::path& path, std::string_view bytes) {
  megalith::OutputFile file(path);
  file.write(bytes);
  file.close();
  megalith::RecordReader reader({path}, 64);
  megalith::RecordParser parser({});
  std::int64_t read = 0;
  try {
    for (megalith::RecordBatch batch; reader.next(batch, 4096);) {
      for (const megalith::Record& record : batch.records) {
        read += record.bytes;
        const megalith::RecordText text = parser.parse(batch, record);
        MEGALITH_CHECK(text.quarantined.empty() || !record.is_json || text.empty());
      }
    }
  } catch (const megalith::RefusedInput&) {
    return;
  }
  const auto& facts = reader.files().front();
  MEGALITH_CHECK(read + facts.mark_bytes == facts.text_bytes);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const std::string stem =
      (std::filesystem::temp_directory_path() / fmt::format("text-fuzz-{}", ::getpid())).string();
  for (const char* kind : {".jsonl", ".txt"}) {
    read_as(stem + kind, bytes);
    std::filesystem::remove(stem + kind);
  }
  return 0;
}
