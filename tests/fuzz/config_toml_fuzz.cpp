// Config files and --set arguments from hostile hands: read, applied to keys of every type, and shown. What
// was accepted must read back as itself.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "config/example_keys.h"
#include "config/toml_reader.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  megalith::ExampleConfig config;
  const auto read = megalith::parse_toml(text, "fuzz.toml", config.registry);
  if (!read) {
    MEGALITH_CHECK(!megalith::to_string(read.error()).empty());
    MEGALITH_CHECK(read.error().size() <= 80);
  }
  const auto overridden = megalith::set(config.registry, text);
  MEGALITH_CHECK(overridden || !overridden.error().empty());
  const std::string frozen = megalith::to_toml(config.registry);
  megalith::ExampleConfig again;
  const auto thawed = megalith::parse_toml(frozen, "frozen.toml", again.registry);
  MEGALITH_CHECK(thawed.has_value(), "{}", megalith::to_string(thawed.error()));
  MEGALITH_CHECK(megalith::to_toml(again.registry) == frozen);
  return 0;
}
