// Any text is a manifest or is refused; what is accepted is written and read again. A digest stands at the
// end of a manifest, which no fuzzer finds by chance: it is put on here, so that the text before it is
// reached.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/digest.h"
#include "run/manifest.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::string closed =
      fmt::format("{},\n\"digest\":\"{}\"}}\n", text, megalith::to_hex(megalith::digest_bytes(data, size)));
  if (megalith::parse_manifest(text, "fuzz")) MEGALITH_CHECK(size > 0);
  // What one of several writers tells is read as strictly, and put together with what is read from itself.
  if (auto part = megalith::parse_manifest_part(text, "fuzz", 64)) {
    const auto part_again = megalith::parse_manifest_part(to_text(*part), "fuzz", 64);
    MEGALITH_CHECK(part_again && to_text(*part_again) == to_text(*part));
    megalith::Manifest whole;
    whole.chunk_bytes = 64;
    MEGALITH_CHECK(megalith::add_part(whole, *part, "fuzz"));
    if (!part->files.empty()) MEGALITH_CHECK(!megalith::add_part(whole, std::move(*part), "fuzz"));
    if (megalith::check_cover(whole, "fuzz"))
      MEGALITH_CHECK(megalith::parse_manifest(to_text(whole), "fuzz"));
  }
  const auto manifest = megalith::parse_manifest(closed, "fuzz");
  if (!manifest) return 0;
  const auto again = megalith::parse_manifest(to_text(*manifest), "fuzz");
  MEGALITH_CHECK(again && to_text(*again) == to_text(*manifest));
  return 0;
}
