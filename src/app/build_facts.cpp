#include "app/build_facts.h"

#include <fmt/format.h>

#include "app/commit.h"

namespace megalith::app {
namespace {

std::string compiler() {
#if defined(__clang__)
  return fmt::format("Clang {}.{}.{}", __clang_major__, __clang_minor__, __clang_patchlevel__);
#else
  return fmt::format("GCC {}.{}.{}", __GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__);
#endif
}

}  // namespace

BuildFacts build_facts() {
  return {.version = MEGALITH_VERSION,
          .commit = MEGALITH_COMMIT,
          .compiler = compiler(),
          .build_type = MEGALITH_BUILD_TYPE,
          .sanitizers = MEGALITH_SANITIZERS};
}

std::string version_line() {
  const BuildFacts facts = build_facts();
  const std::string sanitizers = facts.sanitizers.empty() ? "" : ", sanitizers " + facts.sanitizers;
  return fmt::format("megalith {} (commit {}, {}, {}{})", facts.version, facts.commit, facts.compiler,
                     facts.build_type, sanitizers);
}

}  // namespace megalith::app
