#include "app/console.h"

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <string>

namespace megalith::app {
namespace {

int output_error = 0;  // errno of the first write that failed

void remember_error() {
  if (output_error == 0) output_error = errno != 0 ? errno : EIO;
}

}  // namespace

void let_writes_fail() {
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
}

void print(std::string_view text) {
  if (output_error != 0) return;
  errno = 0;
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) remember_error();
}

void flush_output() {
  if (std::fflush(stdout) != 0) remember_error();
}

bool output_is_gone() {
  return output_error != 0;
}

void complain(std::string_view text) {
  std::string lines;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    lines.append("megalith: ").append(text.substr(0, end)).append("\n");
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  std::fflush(stdout);  // in the order of events when both go to one place
  std::fwrite(lines.data(), 1, lines.size(), stderr);
}

ExitCode finish_output(ExitCode code) {
  errno = 0;
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) remember_error();
  if (output_error == 0 || output_error == EPIPE) return code;
  const std::string reason = std::strerror(output_error);  // NOLINT(concurrency-mt-unsafe)
  complain("writing to standard output: " + reason);
  return code == ExitCode::done ? ExitCode::failed : code;
}

}  // namespace megalith::app
