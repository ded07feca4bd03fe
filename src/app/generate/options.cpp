#include "app/generate/options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>

#include "app/number_range.h"

namespace megalith::app {
namespace {

constexpr double kLargestBias = 1000;  // far beyond any logit; a ban is -inf

constexpr const char* kFooter =
    R"(The order in which the sampling options apply, each to what the one before left:
  --repetition-penalty, --presence-penalty and --frequency-penalty, --logit-bias, --temperature,
  --top-k, --top-p, --min-p, --typical
At temperature 0 the most likely token after penalties and bias is taken. Log-probabilities are
always the model's own, before all of these; --best-of goes by their mean over the tokens of an
answer and the end of the document, where that ended it.

Examples:
  megalith generate runs/mine --prompt "Once upon"            streams until the end of the document
  megalith generate runs/mine --prompt "Once" --n 5 --temperature 0.8 --top-p 0.9 --seed 7
  megalith generate runs/mine --prompt "Once" --min-p 0.05 --top-p 1 --repetition-penalty 1.1
  megalith generate runs/mine --prompt "Once upon a" --suffix " lived a king."    fills the gap
  megalith generate runs/mine --prompt "Once" --best-of 8          the likeliest of eight
  megalith generate runs/mine@1000 --prompt "Q:" --stop $'\nQ:' --max-tokens 100
  megalith generate runs/mine --interactive --stop $'\n'           a line in, a line out
  megalith generate runs/mine --prompt "Once" --weights int8       faster, from rounded weights
  megalith generate runs/mine --prompt-file book.txt --max-tokens 0 --logprobs   what it thinks of a text
)";

void declare_prompt(CLI::App& verb, GenerateOptions& options) {
  auto* prompt = verb.add_option("--prompt", options.prompt, "Text to continue");
  auto* file =
      verb.add_option("--prompt-file", options.prompt_file, "The text in a file; - is standard input");
  auto* ids = verb.add_option("--prompt-ids", options.prompt_ids, "Token ids to continue")->delimiter(',');
  prompt->excludes(ids)->excludes(file);
  file->excludes(ids);
  verb.add_option("--suffix", options.suffix,
                  "Fill the gap between the prompt and this text; for models trained with data.infill_rate")
      ->type_name("TEXT")
      ->excludes(ids);
}

void declare_sampling(CLI::App& verb, GenerateOptions& options) {
  SamplingSettings& sampling = options.sampling;
  const auto number = [&](const char* name, double& value, double low, double high, const char* help) {
    verb.add_option(name, value, help)->check(between(low, high))->capture_default_str();
  };
  number("--repetition-penalty", sampling.repetition_penalty, 0.01, 100,
         "Divides the positive and multiplies the negative logits of tokens in prompt and answer");
  number("--presence-penalty", sampling.presence_penalty, -100, 100,
         "Taken from the logit of a token that stands in the answer");
  number("--frequency-penalty", sampling.frequency_penalty, -100, 100,
         "The same, for each time that it stands there");
  verb.add_option("--logit-bias", options.logit_bias,
                  "Add VALUE to the logit of token ID; -inf bans it; may be repeated")
      ->type_name("ID=VALUE")
      ->allow_extra_args(false);
  number("--temperature", sampling.temperature, 0, 100, "0 takes the most likely token");
  verb.add_option("--top-k", sampling.top_k, "Keep the k most likely; 0 keeps all")
      ->check(CLI::Range(0, 1 << 24))
      ->capture_default_str();
  number("--top-p", sampling.top_p, 0, 1, "Keep the most likely with this much probability; 1 keeps all");
  number("--min-p", sampling.min_p, 0, 1,
         "Keep those with this share of the probability of the most likely; 0 keeps all");
  number("--typical", sampling.typical, 0, 1,
         "Keep those with this much probability whose surprise is nearest to the expected one; 1 keeps all");
  // The parser alone would take a negative number for a great one.
  const CLI::Validator not_negative(
      [](std::string& typed) {
        return typed.starts_with('-') ? fmt::format("'{}' is not in the range 0 to 2^64 - 1", typed) : "";
      },
      "");
  verb.add_option("--seed", sampling.seed, "The same seed gives the same text")->check(not_negative);
}

void declare_conversation(CLI::App& verb, GenerateOptions& options) {
  auto* interactive =
      verb.add_flag("--interactive", options.interactive,
                    "Answer each line of standard input; Ctrl-C stops an answer, a second one or "
                    "the end of input leaves");
  for (const char* other : {"--prompt", "--prompt-file", "--prompt-ids", "--suffix", "--n", "--best-of",
                            "--logprobs", "--json"}) {
    interactive->excludes(verb.get_option(other));
  }
  verb.add_flag("--keep-context", options.keep_context,
                "Each line goes on from the lines and answers before; else each is a text of its own")
      ->needs(interactive);
}

Refusal refused_bias(const std::string& typed) {
  return {.where = "--logit-bias",
          .found = "'" + typed + "'",
          .allowed = fmt::format("ID=VALUE with a token id and a number from {} to {}, or -inf",
                                 -kLargestBias, kLargestBias),
          .nearest = "--logit-bias 198=-inf"};
}

template <class T>
bool parse_whole(std::string_view text, T& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

void declare_generate_options(CLI::App& verb, GenerateOptions& options) {
  verb.footer(kFooter);
  verb.add_option("MODEL", options.model, "Run directory, RUN@STEP, RUN@best or checkpoint folder")
      ->required();
  declare_prompt(verb, options);
  verb.add_option("--max-tokens", options.max_tokens, "Longest continuation")
      ->check(CLI::Range(0, 1 << 24))
      ->capture_default_str();
  declare_sampling(verb, options);
  verb.add_option("--n,--num-samples", options.num_samples, "How many continuations")
      ->check(CLI::Range(1, 1024));
  verb.add_option("--best-of", options.best_of,
                  "Draw this many and print the --n with the highest mean log-probability")
      ->check(CLI::Range(1, 1024));
  verb.add_option("--stop", options.stop, "End where this text would appear; may be repeated")
      ->type_name("TEXT")
      ->allow_extra_args(false);
  verb.add_option("--threads", options.threads, "0 takes every usable processor")->check(CLI::Range(0, 1024));
  verb.add_option("--weights", options.weights,
                  "as-stored, or int8: rounded to integers in blocks of 32, about half the memory of bf16")
      ->type_name("FORMAT")
      ->capture_default_str();
  verb.add_flag("--ignore-end", options.ignore_end, "Go on past the end-of-document token");
  verb.add_flag("--logprobs", options.log_probabilities, "Print every token with its log-probability");
  auto* json = verb.add_flag("--json", options.json, "Print one JSON object");
  verb.add_option("--alternatives", options.alternatives,
                  "Name the most likely tokens at each position of the answer")
      ->check(CLI::Range(1, 1000))
      ->needs(json);
  declare_conversation(verb, options);
}

Expected<void> check_generate_options(const GenerateOptions& options) {
  if (options.best_of == 0 || options.best_of >= options.num_samples) return {};
  return refuse({.where = "--best-of",
                 .found = fmt::format("{}", options.best_of),
                 .allowed = fmt::format("at least the {} of --n", options.num_samples),
                 .nearest = fmt::format("--best-of {}", options.num_samples)});
}

Expected<WeightFormat> parse_weight_format(const std::string& typed) {
  if (typed == "as-stored") return WeightFormat::as_stored;
  if (typed == "int8") return WeightFormat::q8_0;
  return refuse({.where = "--weights",
                 .found = "'" + typed + "'",
                 .allowed = "as-stored or int8",
                 .nearest = typed.find('8') == std::string::npos ? "as-stored" : "int8"});
}

Expected<std::vector<LogitBias>> parse_logit_bias(const std::vector<std::string>& typed) {
  std::vector<LogitBias> biases;
  std::set<std::int32_t> seen;
  Refusals problems;
  for (const std::string& one : typed) {
    const std::string_view text = one;
    const std::size_t equals = text.find('=');
    LogitBias bias;
    const bool read = equals != std::string_view::npos && parse_whole(text.substr(0, equals), bias.id) &&
                      parse_whole(text.substr(equals + 1), bias.value);
    if (!read || bias.id < 0 || !(bias.value == LogitBias::kBan || std::abs(bias.value) <= kLargestBias)) {
      problems.push_back(refused_bias(one));
    } else if (!seen.insert(bias.id).second) {
      problems.push_back({.where = "--logit-bias",
                          .found = fmt::format("a second value for id {}", bias.id),
                          .allowed = "one value for each id",
                          .nearest = ""});
    }
    biases.push_back(bias);
  }
  if (!problems.empty()) return refuse(std::move(problems));
  return biases;
}

Expected<void> check_logit_bias(const std::vector<LogitBias>& biases, std::int64_t vocabulary) {
  Refusals problems;
  std::int64_t banned = 0;
  for (const LogitBias& bias : biases) {
    if (bias.value == LogitBias::kBan) ++banned;
    if (bias.id < vocabulary) continue;
    problems.push_back({.where = "--logit-bias",
                        .found = fmt::format("id {}", bias.id),
                        .allowed = fmt::format("0 to {}", vocabulary - 1),
                        .nearest = ""});
  }
  if (problems.empty() && banned == vocabulary) {
    problems.push_back({.where = "--logit-bias",
                        .found = "a ban of every token",
                        .allowed = "one that may be chosen",
                        .nearest = ""});
  }
  if (!problems.empty()) return refuse(std::move(problems));
  return {};
}

}  // namespace megalith::app
