// How megalith verify-layout shows what it compared.
#include <nlohmann/json.hpp>

#include "app/plan/plan_check.h"
#include "app/verify/layout_check.h"
#include "core/digest.h"
#include "pipeline/schedule_drawing.h"

namespace megalith::app {
namespace {

constexpr const char* kRow = "{:>6} {:>8} {:>5} {:>8}  {:<11} {:>4}  {:<9}  {:<16} {:<16} {:<16} {}\n";

// "tensor 2 x pipeline 2 x data 2, sequence parallel, interleaved, ZeRO 1, recompute full"
std::string in_words(const ParallelConfig& parallel) {
  std::string text = to_string(layout_of(parallel));
  if (parallel.sequence) text += ", sequence parallel";
  if (parallel.pipeline > 1) text += fmt::format(", {}", name_of(parallel.schedule));
  if (parallel.zero > 0) text += fmt::format(", ZeRO {}", parallel.zero);
  if (parallel.recompute != Recompute::none)
    text += fmt::format(", recompute {}", name_of(parallel.recompute));
  return text;
}

std::string step_of(const TrialDifference& difference) {
  return fmt::format("step {}", difference.step);
}

std::string verdict_of(const CheckedLayout& layout) {
  if (!layout.failure.empty()) return "failed";
  return layout.difference
             ? fmt::format("{} differs in step {}", layout.difference->what, layout.difference->step)
             : "equal";
}

std::string tensors_in_words(const LayoutCheck& check) {
  const TensorDifference& tensors = check.tensors;
  if (!check.tensors_unknown.empty()) return "unknown: " + check.tensors_unknown;
  if (tensors.first.empty()) return "none: the checkpoints are equal";
  return tensors.tensors == 1 ? tensors.first
                              : fmt::format("{} and {} more", tensors.first, tensors.tensors - 1);
}

nlohmann::ordered_json json_of(const LayoutTrial& trial) {
  return {{"loss_digest", to_hex(trial.loss_digest())},
          {"norm_digest", to_hex(trial.norm_digest())},
          {"parameter_digest", to_hex(trial.parameter_digest())}};
}

nlohmann::ordered_json json_of(const CheckedLayout& layout) {
  nlohmann::ordered_json object = {{"tensor", layout.parallel.tensor},
                                   {"pipeline", layout.parallel.pipeline},
                                   {"data", layout.parallel.data},
                                   {"sequence", layout.parallel.sequence},
                                   {"schedule", name_of(layout.parallel.schedule)},
                                   {"chunks", layout.parallel.chunks},
                                   {"zero", layout.parallel.zero},
                                   {"recompute", name_of(layout.parallel.recompute)},
                                   {"equal", layout.equal()},
                                   {"seconds", layout.seconds}};
  object.update(json_of(layout.trial));
  if (!layout.failure.empty()) object["failure"] = layout.failure;
  return object;
}

}  // namespace

std::string table_heading() {
  return fmt::format(kRow, "tensor", "pipeline", "data", "sequence", "schedule", "ZeRO", "recompute",
                     "losses", "gradient norms", "parameters", "");
}

std::string table_row(const std::string& name, const ParallelConfig& parallel, const LayoutTrial& trial,
                      const std::string& verdict) {
  if (!name.empty()) {
    return fmt::format("{:<59}{} {} {} {}\n", name, to_hex(trial.loss_digest()), to_hex(trial.norm_digest()),
                       to_hex(trial.parameter_digest()), verdict);
  }
  return fmt::format(kRow, parallel.tensor, parallel.pipeline, parallel.data, parallel.sequence ? "yes" : "-",
                     parallel.pipeline > 1 ? name_of(parallel.schedule) : "-", parallel.zero,
                     name_of(parallel.recompute), to_hex(trial.loss_digest()), to_hex(trial.norm_digest()),
                     to_hex(trial.parameter_digest()), verdict);
}

std::string table_row(const CheckedLayout& layout) {
  return table_row("", layout.parallel, layout.trial, verdict_of(layout));
}

std::string verdict_of(const LayoutCheck& check) {
  std::string text = "\n" + refused_by_rule(check.census);
  text +=
      fmt::format("{} enumerated, {} refused, {} legal, {} run with {} step{} each\n",
                  check.census.enumerated, check.census.enumerated - std::ssize(check.census.legal),
                  check.census.legal.size(), check.layouts.size(), check.steps, check.steps == 1 ? "" : "s");
  const CheckedLayout* unequal = check.first_unequal();
  if (unequal == nullptr) {
    return text +
           fmt::format(
               "all equal: losses, gradient norms and parameters of {} layouts are those of one rank\n",
               check.layouts.size());
  }
  text += "not equal. The first layout that differs: " + in_words(unequal->parallel) + "\n";
  if (!unequal->failure.empty()) return text + "  it ended with: " + unequal->failure + "\n";
  const TrialDifference& difference = *unequal->difference;
  return text +
         fmt::format(
             "  {}: {} of one rank: {}\n  {:>{}}  found here: {}\n  the first tensor that differs then: {}\n",
             step_of(difference), difference.what, difference.expected, "", step_of(difference).size() + 1,
             difference.found, tensors_in_words(check));
}

std::string to_json(const LayoutCheck& check) {
  using nlohmann::ordered_json;
  ordered_json layouts = ordered_json::array();
  for (const CheckedLayout& layout : check.layouts) layouts.push_back(json_of(layout));
  const CheckedLayout* unequal = check.first_unequal();
  ordered_json object = {{"ranks", check.ranks}, {"steps", check.steps}};
  object.update(app::json_of(check.census));
  object["run"] = check.layouts.size();
  object["equal"] = unequal == nullptr;
  object["one_rank"] = json_of(check.one_rank);
  object["layouts"] = layouts;
  if (unequal != nullptr) {
    ordered_json first = {{"layout", in_words(unequal->parallel)}};
    if (unequal->difference) {
      first["step"] = unequal->difference->step;
      first["what"] = unequal->difference->what;
      first["expected"] = unequal->difference->expected;
      first["found"] = unequal->difference->found;
      first["tensor"] = check.tensors.first;
      first["tensors"] = check.tensors.tensors;
    } else {
      first["failure"] = unequal->failure;
    }
    object["first_difference"] = first;
  }
  return object.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

}  // namespace megalith::app
