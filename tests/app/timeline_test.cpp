// The trace that --timeline writes: the documented event format, and calls inside their sections.

#include "app/training/timeline.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace megalith::app {
namespace {

using namespace std::chrono_literals;
using profile::Clock;
using profile::Span;

Span span(const char* name, Clock::duration begin, Clock::duration end) {
  return {.label = {.name = name, .sizes = {3, 4}},
          .begin = Clock::time_point(begin),
          .end = Clock::time_point(end),
          .cost = {.flops = 2000, .bytes = 500}};
}

std::string trace_events(const std::vector<Span>& sections, const std::vector<Span>& calls, bool forgotten) {
  const std::string tracks[] = {track_events({}, sections, calls, forgotten)};
  return trace_of(tracks);
}

std::vector<nlohmann::json> complete_events(const std::string& text) {
  std::vector<nlohmann::json> events;
  const nlohmann::json trace = nlohmann::json::parse(text);
  for (const nlohmann::json& event : trace.at("traceEvents")) {
    if (event.at("ph") == "X") events.push_back(event);
  }
  return events;
}

TEST(TraceEvents, AreCompleteEventsInMicrosecondsFromTheFirstSection) {
  const auto events = complete_events(
      trace_events({span("step", 10ms, 20ms)}, {span("product forward", 10ms, 11500us)}, false));
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].at("name"), "step");
  EXPECT_EQ(events[0].at("ts"), 0.0);
  EXPECT_EQ(events[0].at("dur"), 10000.0);
  EXPECT_EQ(events[0].at("args").at("step"), 3);
  EXPECT_EQ(events[1].at("name"), "product forward");
  EXPECT_EQ(events[1].at("dur"), 1500.0);
  EXPECT_EQ(events[1].at("pid"), events[0].at("pid"));
  EXPECT_EQ(events[1].at("tid"), events[0].at("tid"));
  EXPECT_EQ(events[1].at("args").at("shape"), nlohmann::json({3, 4}));
  EXPECT_EQ(events[1].at("args").at("flops"), 2000);
}

TEST(TraceEvents, LeaveOutSectionsWhoseCallsAreForgottenAndCallsOutsideSections) {
  const auto events = complete_events(
      trace_events({span("step", 0ms, 10ms), span("step", 10ms, 20ms), span("checkpoint", 30ms, 40ms)},
                   {span("old", 5ms, 9ms), span("in", 12ms, 13ms), span("between", 21ms, 22ms)}, true));
  std::vector<std::string> names;
  for (const nlohmann::json& event : events) names.push_back(event.at("name"));
  EXPECT_EQ(names, (std::vector<std::string>{"step", "in", "checkpoint"}));
}

TEST(TraceEvents, OfRanksHaveATrackEachAndOneClock) {
  const Clock::time_point start(9ms);
  const std::string tracks[] = {
      track_events({0, "stage 0", start}, {span("step", 10ms, 20ms)}, {span("send", 11ms, 12ms)}, false),
      track_events({1, "stage 1", start}, {span("step", 11ms, 21ms)}, {}, false)};
  const auto events = complete_events(trace_of(tracks));
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[0].at("ts"), 1000.0);
  EXPECT_EQ(events[2].at("ts"), 2000.0);
  EXPECT_EQ(events[1].at("pid"), events[0].at("pid"));
  EXPECT_NE(events[2].at("pid"), events[0].at("pid"));
  EXPECT_NE(trace_of(tracks).find("stage 1"), std::string::npos);
}

TEST(TraceEvents, OfAWaitSayWhatWasWaitedFor) {
  Span wait = span("wait for receive", 11ms, 12ms);
  wait.cost = {};
  const auto events = complete_events(trace_events({span("step", 10ms, 20ms)}, {wait}, false));
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[1].at("args"), nlohmann::json({{"message_bytes", 3}}));
}

TEST(TraceEvents, AreValidWithoutAnyStep) {
  EXPECT_TRUE(complete_events(trace_events({}, {}, true)).empty());
}

}  // namespace
}  // namespace megalith::app
