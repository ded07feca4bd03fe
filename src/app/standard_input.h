// Standard input of the program, bounded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "core/error.h"

namespace megalith::app {

// All that comes on `descriptor` until its end. Refused: more than `limit` bytes, which are not kept.
Expected<std::string> read_to_end(int descriptor, std::size_t limit);

// Lines of a terminal or a pipe, as they come.
class LineReader {
 public:
  enum class Status : std::uint8_t { line, too_long, end, interrupted };

  // `limit`: the longest line in bytes. `interrupted` is asked while nothing comes; it ends the waiting.
  LineReader(int descriptor, std::size_t limit, std::function<bool()> interrupted);

  // The next line, without its newline; the last one needs none. A line that is too long is skipped to its
  // end.
  Status next(std::string& line);

 private:
  enum class Arrival : std::uint8_t { bytes, end, interrupted };
  Arrival wait_and_read();

  int descriptor_;
  std::size_t limit_;
  std::function<bool()> interrupted_;
  std::string pending_;  // read and not yet returned
};

}  // namespace megalith::app
