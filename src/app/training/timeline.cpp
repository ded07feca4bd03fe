#include "app/training/timeline.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace megalith::app {
namespace {

using profile::Clock;
using profile::Span;

double microseconds(Clock::duration time) {
  return std::chrono::duration<double, std::micro>(time).count();
}

std::string event(const Span& span, int process, Clock::time_point start, const std::string& arguments) {
  return fmt::format(
      ",\n{{\"name\":\"{}\",\"ph\":\"X\",\"pid\":{},\"tid\":1,\"ts\":{:.3f},\"dur\":{:.3f},\"args\":{{{}}}}}",
      span.label.name, process, microseconds(span.begin - start), microseconds(span.end - span.begin),
      arguments);
}

// Of a wait for other ranks: the bytes of the operation.
std::string wait_arguments(const Span& call) {
  return fmt::format(R"("message_bytes":{})", call.label.sizes[0]);
}

std::string call_arguments(const Span& call) {
  if (call.cost.flops == 0 && call.cost.bytes == 0) return wait_arguments(call);
  std::string shape;
  for (const std::int64_t size : call.label.sizes) {
    if (size > 0) shape += (shape.empty() ? "" : ",") + std::to_string(size);
  }
  const double seconds = std::max(1e-9, std::chrono::duration<double>(call.end - call.begin).count());
  return fmt::format(
      R"("dtype":"{}","shape":[{}],"flops":{:.0f},"bytes":{:.0f},"GFLOP/s":{:.3f},"GB/s":{:.3f})",
      name_of(call.label.dtype), shape, call.cost.flops, call.cost.bytes, 1e-9 * call.cost.flops / seconds,
      1e-9 * call.cost.bytes / seconds);
}

}  // namespace

std::string track_events(const TraceTrack& track, std::vector<Span> sections, const std::vector<Span>& calls,
                         bool calls_forgotten) {
  const auto forgotten = [&](const Span& section) {
    return calls_forgotten && (calls.empty() || section.begin < calls.front().begin);
  };
  sections.erase(sections.begin(), std::find_if_not(sections.begin(), sections.end(), forgotten));
  const int process = track.rank + 1;
  std::string text;
  const auto name = [&](const char* what, const std::string& words) {
    text += fmt::format(R"({}{{"name":"{}","ph":"M","pid":{},"tid":1,"args":{{"name":"{}"}}}})",
                        text.empty() ? "" : ",\n", what, process, words);
  };
  name("process_name", track.name);
  name("thread_name", "device owner");
  if (sections.empty()) return text;
  const Clock::time_point start = track.start.value_or(sections.front().begin);
  auto call = calls.begin();
  for (const Span& section : sections) {
    text += event(section, process, start, fmt::format(R"("step":{})", section.label.sizes[0]));
    call = std::find_if(call, calls.end(), [&](const Span& c) { return c.begin >= section.begin; });
    for (; call != calls.end() && call->end <= section.end; ++call)
      text += event(*call, process, start, call_arguments(*call));
  }
  return text;
}

std::string trace_of(std::span<const std::string> tracks) {
  std::string text = R"({"displayTimeUnit":"ms","traceEvents":[)";
  const char* before = "\n";
  for (const std::string& track : tracks) {
    text += before + track;
    before = ",\n";
  }
  return text + "\n]}\n";
}

}  // namespace megalith::app
