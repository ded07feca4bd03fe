// RUN/tensorboard: event files that TensorBoard opens. Each process that trains writes one file,
// events.out.tfevents.00000001 and so on in the order of their names, and each step stands in them once: what
// a resume does again is cut off the older files first.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "core/file.h"
#include "run/event_record.h"

namespace megalith {

class EventLog {
 public:
  // Nothing is touched before the first call below.
  explicit EventLog(std::filesystem::path folder) : folder_(std::move(folder)) {}

  // Cuts off what stands of steps after `step`, and a torn end; -1 cuts everything. The newest file is cut
  // first, so a cut that is itself cut short leaves a good beginning. No file is removed: a TensorBoard that
  // watches holds it open and must find the next one under a name it has not seen. Throws WorldFailed.
  void resume_after(std::int64_t step);

  // Steps never fall. Each goes out in one write. Without resume_after before, everything older is cut off.
  void add_scalars(EventTime time, std::span<const NamedValue> values);
  void add_text(EventTime time, std::string_view tag, std::string_view markdown);

 private:
  void append(EventTime time, const std::string& event);
  void begin_file(EventTime time);

  std::filesystem::path folder_;
  std::optional<std::int64_t> resumed_after_;
  std::optional<OutputFile> file_;
};

}  // namespace megalith
