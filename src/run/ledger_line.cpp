#include <cmath>

#include "core/digest.h"
#include "run/json_fields.h"
#include "run/ledger.h"

namespace megalith {
namespace {

constexpr int kMaxDepth = 4;
constexpr std::int64_t kMaxStep = std::int64_t{1} << 53;

nlohmann::ordered_json number_or_null(double value) {
  if (std::isfinite(value)) return value;
  return nullptr;
}

// The double whose bits `bits_name` gives. The readable number beside it must be the same one, or null where
// the bits are not finite: a line in which they disagree was edited or damaged.
double number_with_bits(const JsonFields& fields, const char* name, const char* bits_name) {
  const double value = std::bit_cast<double>(fields.hex(bits_name));
  if (!std::isfinite(value)) {
    if (!fields.any(name).is_null()) fields.bad(name, "null, as its bits are not finite");
  } else if (std::bit_cast<std::uint64_t>(fields.number(name)) != std::bit_cast<std::uint64_t>(value)) {
    fields.bad(name, fmt::format("{}, which its bits stand for", value));
  }
  return value;
}

LedgerLine read_line(std::string_view text, const std::string& where) {
  const nlohmann::json document = parse_json(text, where, kMaxDepth);
  const JsonFields fields(document, where);
  LedgerLine line;
  line.step = fields.integer("step", 1, kMaxStep);
  line.loss = number_with_bits(fields, "loss", "loss_bits");
  line.gradient_norm = number_with_bits(fields, "gradient_norm", "gradient_norm_bits");
  line.learning_rate = fields.number("learning_rate");
  line.tokens = fields.integer("tokens", 0, INT64_MAX);
  line.loss_tokens = fields.integer("loss_tokens", 0, INT64_MAX);
  line.skipped = fields.boolean("skipped");
  line.bad = fields.text("bad");
  if (!fields.text("parameter_digest").empty()) line.parameter_digest = fields.hex("parameter_digest");
  line.data_digest = fields.hex("data_digest");
  line.fingerprint = fields.hex("fingerprint");
  return line;
}

std::string with_bits(double value) {
  return fmt::format("{} ({})", value, to_hex(std::bit_cast<std::uint64_t>(value)));
}

}  // namespace

std::string to_text(const LedgerLine& line) {
  return dump_json(nlohmann::ordered_json{
      {"step", line.step},
      {"loss", number_or_null(line.loss)},
      {"loss_bits", to_hex(line.loss_bits())},
      {"gradient_norm", number_or_null(line.gradient_norm)},
      {"gradient_norm_bits", to_hex(line.gradient_norm_bits())},
      {"learning_rate", line.learning_rate},
      {"tokens", line.tokens},
      {"loss_tokens", line.loss_tokens},
      {"skipped", line.skipped},
      {"bad", line.bad},
      {"parameter_digest", line.parameter_digest ? to_hex(*line.parameter_digest) : ""},
      {"data_digest", to_hex(line.data_digest)},
      {"fingerprint", to_hex(line.fingerprint)}});
}

Expected<LedgerLine> parse_ledger_line(std::string_view text, const std::string& where) {
  try {
    return read_line(text, where);
  } catch (const BadField& bad) {
    return refuse(bad.refusal);
  }
}

std::string to_string(const LedgerDifference& difference) {
  return fmt::format("step {}: {} was {}, is {}", difference.step, difference.field, difference.expected,
                     difference.found);
}

std::optional<LedgerDifference> first_difference(const LedgerLine& expected, const LedgerLine& found) {
  MEGALITH_CHECK(expected.step == found.step, "{} and {}", expected.step, found.step);
  std::optional<LedgerDifference> first;
  const auto compare = [&](const char* field, bool equal, const std::string& was, const std::string& is) {
    if (!first && !equal) first = LedgerDifference{expected.step, field, was, is};
  };
  const auto compare_hex = [&](const char* field, std::uint64_t was, std::uint64_t is) {
    compare(field, was == is, to_hex(was), to_hex(is));
  };
  const auto compare_count = [&](const char* field, std::int64_t was, std::int64_t is) {
    compare(field, was == is, fmt::format("{}", was), fmt::format("{}", is));
  };
  const auto compare_double = [&](const char* field, double was, double is) {
    compare(field, std::bit_cast<std::uint64_t>(was) == std::bit_cast<std::uint64_t>(is), with_bits(was),
            with_bits(is));
  };
  compare_hex("fingerprint", expected.fingerprint, found.fingerprint);
  compare_hex("data_digest", expected.data_digest, found.data_digest);
  compare_count("tokens", expected.tokens, found.tokens);
  compare_count("loss_tokens", expected.loss_tokens, found.loss_tokens);
  compare_double("learning_rate", expected.learning_rate, found.learning_rate);
  compare_double("loss", expected.loss, found.loss);
  compare_double("gradient_norm", expected.gradient_norm, found.gradient_norm);
  compare("bad", expected.bad == found.bad, in_quotes(expected.bad), in_quotes(found.bad));
  compare("skipped", expected.skipped == found.skipped, expected.skipped ? "true" : "false",
          found.skipped ? "true" : "false");
  if (expected.parameter_digest && found.parameter_digest) {
    compare_hex("parameter_digest", *expected.parameter_digest, *found.parameter_digest);
  }
  return first;
}

}  // namespace megalith
