// Feeds a fuzz target the files of its corpus, so that what a fuzzer once found stays found without a fuzzer.
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>

#include "core/error.h"
#include "core/file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace megalith {
namespace {

TEST(FuzzCorpus, IsSurvived) {
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(MEGALITH_FUZZ_CORPUS)) {
    SCOPED_TRACE(entry.path().string());
    const std::string input = value_or_throw(read_file(entry.path(), std::size_t{16} << 20));
    EXPECT_EQ(LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(input.data()), input.size()), 0);
    ++files;
  }
  EXPECT_GT(files, 0);
}

}  // namespace
}  // namespace megalith
