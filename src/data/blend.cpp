#include "data/blend.h"

#include <utility>

#include "core/error.h"

namespace megalith {
namespace {

std::vector<std::uint64_t> weights_of(const std::vector<BlendSource>& sources) {
  std::vector<std::uint64_t> weights;
  for (const BlendSource& source : sources) weights.push_back(source.weight);
  return weights;
}

class Blend final : public Dataset {
 public:
  explicit Blend(std::vector<BlendSource> sources)
      : sources_(std::move(sources)), order_(weights_of(sources_)) {
    for (const BlendSource& source : sources_) names_.push_back(source.name);
  }

  void fill(std::int64_t sample_index, std::int32_t* ids, std::int32_t* targets, std::uint8_t* loss_mask,
            std::int32_t* document_start) const override {
    const BlendOrder::Place place = order_.place(sample_index);
    sources_[place.source].dataset->fill(place.index, ids, targets, loss_mask, document_start);
  }
  [[nodiscard]] std::int64_t samples_per_epoch() const override {
    std::int64_t sum = 0;
    for (const BlendSource& source : sources_) sum += source.dataset->samples_per_epoch();
    return sum;
  }
  [[nodiscard]] std::string describe_sample(std::int64_t sample_index) const override {
    const BlendOrder::Place place = order_.place(sample_index);
    const BlendSource& source = sources_[place.source];
    return source.name + ", " + source.dataset->describe_sample(place.index);
  }
  [[nodiscard]] std::span<const std::string> source_names() const override { return names_; }
  [[nodiscard]] std::int64_t samples_of_source(std::size_t source, std::int64_t samples) const override {
    return order_.count(source, samples);
  }
  [[nodiscard]] std::size_t source_of_sample(std::int64_t sample_index) const override {
    return order_.place(sample_index).source;
  }
  [[nodiscard]] double epochs_of_source(std::size_t source, std::int64_t samples) const override {
    return static_cast<double>(order_.count(source, samples)) /
           static_cast<double>(sources_[source].dataset->samples_per_epoch());
  }

 private:
  std::vector<BlendSource> sources_;
  BlendOrder order_;
  std::vector<std::string> names_;
};

}  // namespace

BlendOrder::BlendOrder(const std::vector<std::uint64_t>& weights) {
  MEGALITH_CHECK(!weights.empty(), "a blend of nothing");
  weight_before_.push_back(0);
  for (const std::uint64_t weight : weights) {
    weight_before_.push_back(weight_before_.back() + weight);
    MEGALITH_CHECK(weight > 0 && weight_before_.back() < std::uint64_t{1} << 62, "a weight of {}", weight);
  }
}

std::int64_t BlendOrder::left_of(std::int64_t samples, std::size_t begin, std::size_t middle,
                                 std::size_t end) const {
  const std::uint64_t left = weight_before_[middle] - weight_before_[begin];
  const std::uint64_t whole = weight_before_[end] - weight_before_[begin];
  __extension__ using Wide = unsigned __int128;
  return static_cast<std::int64_t>(static_cast<Wide>(samples) * left / whole);
}

BlendOrder::Place BlendOrder::place(std::int64_t sample) const {
  MEGALITH_CHECK(sample >= 0, "sample {}", sample);
  std::size_t begin = 0;
  std::size_t end = weight_before_.size() - 1;
  while (end - begin > 1) {
    const std::size_t middle = (begin + end) / 2;
    const std::int64_t left = left_of(sample, begin, middle, end);
    if (left_of(sample + 1, begin, middle, end) > left) {
      sample = left;
      end = middle;
    } else {
      sample -= left;
      begin = middle;
    }
  }
  return {.source = begin, .index = sample};
}

std::int64_t BlendOrder::count(std::size_t source, std::int64_t samples) const {
  std::size_t begin = 0;
  std::size_t end = weight_before_.size() - 1;
  MEGALITH_CHECK(source < end && samples >= 0, "source {} of {}", source, end);
  while (end - begin > 1) {
    const std::size_t middle = (begin + end) / 2;
    const std::int64_t left = left_of(samples, begin, middle, end);
    samples = source < middle ? left : samples - left;
    (source < middle ? end : begin) = middle;
  }
  return samples;
}

std::unique_ptr<Dataset> make_blend(std::vector<BlendSource> sources) {
  return std::make_unique<Blend>(std::move(sources));
}

}  // namespace megalith
