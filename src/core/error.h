// Three kinds of failure, three treatments.
//   Refusal      the user's input (config, file, argument) is not acceptable: a value, Expected<T>, exit
//   code 2. WorldFailed  the world let us down (disk full, file vanished): an exception, caught by the verb,
//   exit code 1. CHECK        our own bug: message on stderr and abort.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <tl/expected.hpp>
#include <utility>
#include <vector>

namespace megalith {

// One thing wrong with the input. Empty fields are left out of the message.
struct Refusal {
  std::string where;    // file, file:line, key or argument
  std::string found;    // what stood there
  std::string allowed;  // what may stand there
  std::string nearest;  // the nearest thing that would work
};

// "where: found ...; allowed ...; try ..." on one line.
std::string to_string(const Refusal& refusal);

// All problems of one input at once. Never empty when it stands for an error.
using Refusals = std::vector<Refusal>;
std::string to_string(const Refusals& refusals);  // one line each

template <class T>
using Expected = tl::expected<T, Refusals>;

inline tl::unexpected<Refusals> refuse(Refusal refusal) {
  return tl::unexpected<Refusals>(Refusals{std::move(refusal)});
}
inline tl::unexpected<Refusals> refuse(Refusals refusals) {
  return tl::unexpected<Refusals>(std::move(refusals));
}

class WorldFailed : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Thrown to leave a verb with a refusal from deep inside it; main() prints it and exits 2.
class RefusedInput : public std::runtime_error {
 public:
  explicit RefusedInput(Refusals refusals)
      : std::runtime_error(to_string(refusals)), refusals_(std::move(refusals)) {}
  [[nodiscard]] const Refusals& refusals() const { return refusals_; }

 private:
  Refusals refusals_;
};

// The value, or RefusedInput: for verbs, which have nothing to add to the refusal.
template <class T>
T value_or_throw(Expected<T> expected) {
  if (!expected) throw RefusedInput(std::move(expected).error());
  if constexpr (!std::is_void_v<T>) return std::move(*expected);
}

[[noreturn]] void check_failed(const char* file, int line, const char* condition, const std::string& message);

}  // namespace megalith

// States what our own code guarantees. Never guards input.
#define MEGALITH_CHECK(condition, ...)                                                         \
  do {                                                                                         \
    if (!(condition)) [[unlikely]]                                                             \
      ::megalith::check_failed(__FILE__, __LINE__, #condition, ::fmt::format("" __VA_ARGS__)); \
  } while (false)
