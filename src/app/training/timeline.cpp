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

std::string event(const Span& span, Clock::time_point start, const std::string& arguments) {
  return fmt::format(
      ",\n{{\"name\":\"{}\",\"ph\":\"X\",\"pid\":1,\"tid\":1,\"ts\":{:.3f},\"dur\":{:.3f},\"args\":{{{}}}}}",
      span.label.name, microseconds(span.begin - start), microseconds(span.end - span.begin), arguments);
}

std::string call_arguments(const Span& call) {
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

std::string trace_events(std::vector<Span> sections, const std::vector<Span>& calls, bool calls_forgotten) {
  const auto forgotten = [&](const Span& section) {
    return calls_forgotten && (calls.empty() || section.begin < calls.front().begin);
  };
  sections.erase(sections.begin(), std::find_if_not(sections.begin(), sections.end(), forgotten));
  std::string text = R"({"displayTimeUnit":"ms","traceEvents":[
{"name":"process_name","ph":"M","pid":1,"tid":1,"args":{"name":"megalith train"}},
{"name":"thread_name","ph":"M","pid":1,"tid":1,"args":{"name":"device owner"}})";
  if (!sections.empty()) {
    const Clock::time_point start = sections.front().begin;
    auto call = calls.begin();
    for (const Span& section : sections) {
      text += event(section, start, fmt::format(R"("step":{})", section.label.sizes[0]));
      call = std::find_if(call, calls.end(), [&](const Span& c) { return c.begin >= section.begin; });
      for (; call != calls.end() && call->end <= section.end; ++call)
        text += event(*call, start, call_arguments(*call));
    }
  }
  return text + "\n]}\n";
}

}  // namespace megalith::app
