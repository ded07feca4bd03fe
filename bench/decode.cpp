// Generation with random weights, in bf16 and in int8 blocks: tokens a second of prompts and of answers, the
// latter beside what reading the weights once a token allows.
//   bench_decode [--threads N] [--rounds N] [--json] [gpt2-124m | qwen2-0.5b] [bf16 | int8] [SEQUENCES ...]
// GPT-2 124M and both formats where nothing is named.

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include "infer/generator.h"
#include "model_shapes.h"
#include "open_device.h"

namespace megalith {
namespace {

constexpr std::int64_t kPrompt = 512;
constexpr std::int64_t kAnswer = 32;  // tokens of one timing

// Bytes a second of reading memory far larger than any cache, on all threads.
double read_bandwidth(ThreadPool& pool, const std::vector<std::uint64_t>& memory,
                      const bench::Options& options) {
  constexpr std::int64_t kChunk = 1 << 16;
  const auto words = static_cast<std::int64_t>(memory.size());
  std::vector<std::uint64_t> sums(static_cast<std::size_t>(pool.num_threads()) * 8);
  const auto read = [&] {
    pool.for_range(words, kChunk, [&](std::int64_t begin, std::int64_t end, int thread) {
      sums[static_cast<std::size_t>(thread) * 8] +=
          std::accumulate(memory.begin() + begin, memory.begin() + end, std::uint64_t{0});
    });
  };
  const bench::Timing timing = bench::take_turns({{"read", 1, read}}, options)[0];
  return static_cast<double>(words) * 8 / timing.best_seconds;
}

// What the products of a token read: all matrices but the position table.
double weights_read(const Parameters& parameters) {
  double weights = 0;
  for (const Parameter& p : parameters.all()) {
    if (p.spec.is_matrix && p.spec.name != "embedding.positions")
      weights += static_cast<double>(p.spec.padded_rows * p.spec.columns);
  }
  return weights;
}

struct Format {
  const char* name;
  WeightFormat format;
  double bytes_per_weight;
};
constexpr Format kFormats[] = {{"bf16", WeightFormat::as_stored, 2}, {"int8", WeightFormat::q8_0, 34.0 / 32}};

// What the command line names, in any order.
struct Request {
  std::vector<bench::ModelShape> shapes;
  std::vector<Format> formats;
  std::vector<std::int64_t> sequences;
};

Request request_of(const bench::Options& options) {
  Request request;
  for (const std::string& word : options.rest) {
    bool known = false;
    for (const bench::ModelShape& shape : {bench::kGpt2, bench::kQwen2}) {
      if (word == shape.name) request.shapes.push_back(shape);
      known |= word == shape.name;
    }
    for (const Format& format : kFormats) {
      if (word == format.name) request.formats.push_back(format);
      known |= word == format.name;
    }
    if (known) continue;
    const std::int64_t sequences = std::atoll(word.c_str());
    if (sequences < 1 || sequences > 256)
      bench::refuse(word, "gpt2-124m, qwen2-0.5b, bf16, int8, numbers from 1 to 256");
    request.sequences.push_back(sequences);
  }
  if (request.shapes.empty()) request.shapes = {bench::kGpt2};
  if (request.formats.empty()) request.formats.assign(std::begin(kFormats), std::end(kFormats));
  if (request.sequences.empty()) request.sequences = {1, 8, 32};
  return request;
}

void measure(const bench::Options& options, bench::Report& report, Device& device,
             const bench::ModelShape& shape, const Format& format, const std::vector<std::int64_t>& sizes,
             double bandwidth) {
  const TrainConfig config = bench::training_of(shape, 1, 1024);
  const std::string name = fmt::format("{} {}", shape.name, format.name);
  Parameters parameters(Transformer::specs(config.model, config.numerics), config.numerics.compute,
                        Parameters::Use::training);
  parameters.initialise(1);
  parameters.refresh_working(device);
  Transformer transformer(config.model, config.numerics, parameters);
  transformer.pack(device, config.numerics, format.format);
  const double weight_bytes = weights_read(parameters) * format.bytes_per_weight;
  std::vector<std::int32_t> prompt(static_cast<std::size_t>(kPrompt));
  std::iota(prompt.begin(), prompt.end(), 100);
  double one = 0;
  for (const std::int64_t slots : sizes) {
    Generator generator(device, transformer, config.numerics, slots, kPrompt + 256);
    const std::vector<std::int32_t> ids(static_cast<std::size_t>(slots), 1234);
    if (slots == 1) {
      const bench::Timing fill =
          bench::take_turns({{"prompt", 1, [&] { generator.prefill(prompt, 1); }}}, options)[0];
      report.add(fmt::format("{}: prompt of 512 tokens", name),
                 static_cast<double>(kPrompt) / fill.best_seconds, "tokens/s", 0,
                 fill.median_seconds / fill.best_seconds);
    }
    const auto answer = [&] {
      for (std::int64_t i = 0; i < kAnswer; ++i) generator.decode(ids);
    };
    generator.prefill(std::span(prompt).first(64), slots);
    const bench::Timing timing = bench::take_turns({{"decode", 1, answer}}, options)[0];
    const double rate = static_cast<double>(kAnswer * slots) / timing.best_seconds;
    if (slots == 1) one = rate;
    const double spread = timing.median_seconds / timing.best_seconds;
    if (slots == 1 || one == 0) {
      report.add(
          fmt::format("{}: answers, {} side by side; reference: one read of the weights a step", name, slots),
          rate, "tokens/s", bandwidth / weight_bytes * static_cast<double>(slots), spread);
    } else {
      report.add(
          fmt::format("{}: answers, {} sequences side by side; reference: that many alone", name, slots),
          rate, "tokens/s", one * static_cast<double>(slots), spread);
    }
  }
}

}  // namespace
}  // namespace megalith

int main(int argc, char** argv) {
  using namespace megalith;
  const bench::Options options = bench::parse_options(argc, argv);
  const Request request = request_of(options);
  const std::unique_ptr<Device> device = bench::open_device(options);
  bench::Report report(options, "Generation, " + device->description());
  ThreadPool pool(device->num_threads());
  double bandwidth = 0;
  {
    const std::vector<std::uint64_t> memory(std::size_t{1} << 26, 1);
    bandwidth = read_bandwidth(pool, memory, options);
  }
  for (const bench::ModelShape& shape : request.shapes) {
    for (const Format& format : request.formats)
      measure(options, report, *device, shape, format, request.sequences, bandwidth);
  }
}
