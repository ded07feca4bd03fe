#include "data/infill_dataset.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/philox.h"
#include "data/tokenizer/token_encoder.h"
#include "data/tokenizer/utf8.h"

namespace megalith {
namespace {

using Ids = std::vector<std::int32_t>;

constexpr std::int64_t kFewestTokens = 8;
constexpr std::int64_t kMarks = 4;
// Each of the two cuts usually makes two tokens of one.
constexpr std::int64_t kSplitTokens = 2;

bool begins_character(std::string_view text, std::size_t at) {
  return at == 0 || at == text.size() || (static_cast<std::uint8_t>(text[at]) & 0xc0u) != 0x80u;
}

bool ends_inside_character(std::string_view text) {
  if (text.empty()) return false;
  std::size_t last = text.size() - 1;
  while (!begins_character(text, last)) --last;
  return utf8_sequence_length(text.substr(last)) != text.size() - last;
}

// A share of 2^32 chances; all of them for 1.
bool drawn(std::uint32_t draw, double share) {
  return static_cast<double>(draw) < share * 0x1p32;
}

// The positions of one sample that belong to one document.
struct Slot {
  std::int32_t* ids;
  std::int32_t* targets;
  std::uint8_t* loss_mask;
  std::int64_t size;

  // The fragment of the document: the ids, and the last target where it is the next token of the document.
  [[nodiscard]] Ids tokens(bool may_be_padded) const {
    std::int64_t count = size;
    while (may_be_padded && count > 0 && ids[count - 1] == 0 && targets[count - 1] == 0 &&
           loss_mask[count - 1] == 0)
      --count;
    Ids tokens(ids, ids + count);
    if (count > 0 && loss_mask[count - 1] != 0) tokens.push_back(targets[count - 1]);
    return tokens;
  }

  // As many tokens as there are targets after the first one. Those before `first_target` are no target.
  void put(const Ids& tokens, std::size_t first_target) const {
    for (std::size_t i = 0; i < static_cast<std::size_t>(size); ++i) {
      const bool has_target = i + 1 < tokens.size();
      ids[i] = i < tokens.size() ? tokens[i] : 0;
      targets[i] = has_target ? tokens[i + 1] : 0;
      loss_mask[i] = has_target && i + 1 >= first_target ? 1 : 0;
    }
  }
};

struct Parts {
  Ids prefix, middle, suffix;
  [[nodiscard]] std::int64_t num_tokens() const {
    return static_cast<std::int64_t>(prefix.size() + middle.size() + suffix.size());
  }
};

class InfillDataset final : public Dataset {
 public:
  InfillDataset(std::unique_ptr<const Dataset> dataset, Tokenizer tokenizer, const InfillOptions& options)
      : dataset_(std::move(dataset)),
        tokenizer_(std::move(tokenizer)),
        options_(options),
        is_mark_(static_cast<std::size_t>(tokenizer_.vocabulary_size()), false) {
    MEGALITH_CHECK(options.sequence >= 1, "sequence {}", options.sequence);
    for (const AddedToken& token : tokenizer_.added_tokens()) {
      if (token.special) is_mark_[static_cast<std::size_t>(token.id)] = true;
    }
    const InfillTokens& marks = options.tokens;
    for (const std::int32_t id : {marks.prefix, marks.suffix, marks.middle, marks.end})
      is_mark_[static_cast<std::size_t>(id)] = true;
  }

  void fill(std::int64_t sample_index, std::int32_t* ids, std::int32_t* targets, std::uint8_t* loss_mask,
            std::int32_t* document_start) const override {
    dataset_->fill(sample_index, ids, targets, loss_mask, document_start);
    std::int64_t end = 0;
    for (std::int64_t begin = 0; begin < options_.sequence; begin = end) {
      end = std::find_if(document_start + begin, document_start + options_.sequence,
                         [&](std::int32_t start) { return start != document_start[begin]; }) -
            document_start;
      const Slot slot{.ids = ids + begin,
                      .targets = targets + begin,
                      .loss_mask = loss_mask + begin,
                      .size = end - begin};
      const bool rearranged = rearrange(sample_index, begin, slot, end == options_.sequence);
      if (!rearranged && options_.only_middles)
        std::fill(loss_mask + begin, loss_mask + end, std::uint8_t{0});
    }
  }

  [[nodiscard]] std::int64_t samples_per_epoch() const override { return dataset_->samples_per_epoch(); }
  [[nodiscard]] std::span<const std::string> source_names() const override {
    return dataset_->source_names();
  }
  [[nodiscard]] std::int64_t samples_of_source(std::size_t source, std::int64_t samples) const override {
    return dataset_->samples_of_source(source, samples);
  }
  [[nodiscard]] std::size_t source_of_sample(std::int64_t sample_index) const override {
    return dataset_->source_of_sample(sample_index);
  }
  [[nodiscard]] double epochs_of_source(std::size_t source, std::int64_t samples) const override {
    return dataset_->epochs_of_source(source, samples);
  }
  [[nodiscard]] std::string describe_sample(std::int64_t sample_index) const override {
    return dataset_->describe_sample(sample_index);
  }

 private:
  // Words of a draw.
  enum : std::size_t { kWhether, kOrder, kCut, kOtherCut };

  // False: the fragment stays as it is.
  bool rearrange(std::int64_t sample_index, std::int64_t begin, const Slot& slot, bool may_be_padded) const {
    const auto sample = static_cast<std::uint64_t>(sample_index);
    const PhiloxCounter draw =
        philox({static_cast<std::uint32_t>(sample), static_cast<std::uint32_t>(sample >> 32),
                static_cast<std::uint32_t>(RandomUse::infill), static_cast<std::uint32_t>(begin)},
               philox_key(options_.seed));
    if (!drawn(draw[kWhether], options_.rate)) return false;
    Ids tokens = slot.tokens(may_be_padded);
    if (!tokens.empty() && tokens.back() == options_.tokens.end) tokens.pop_back();
    if (static_cast<std::int64_t>(tokens.size()) < kFewestTokens || !is_plain_text(tokens)) return false;
    std::optional<Parts> parts = cut(tokens, slot.size + 1, draw[kCut], draw[kOtherCut]);
    if (!parts) return false;
    if (options_.hide_suffix) parts->suffix.clear();
    const Ids arranged = arrange(*parts, drawn(draw[kOrder], options_.spm));
    slot.put(arranged, options_.only_middles ? arranged.size() - parts->middle.size() - 1 : 0);
    return true;
  }

  [[nodiscard]] bool is_plain_text(const Ids& tokens) const {
    return std::all_of(tokens.begin(), tokens.end(), [&](std::int32_t id) {
      return id >= 0 && id < tokenizer_.vocabulary_size() && !is_mark_[static_cast<std::size_t>(id)];
    });
  }

  // Nothing where even without a suffix there is no room for the parts and their marks.
  [[nodiscard]] std::optional<Parts> cut(const Ids& tokens, std::int64_t room, std::uint32_t first,
                                         std::uint32_t second) const {
    const std::string text = value_or_throw(tokenizer_.decode(tokens));
    const auto num_tokens = static_cast<std::int64_t>(tokens.size());
    // The text that makes room at the end has to lie in the suffix, or else late cuts would never fit.
    const std::int64_t dropped = std::max<std::int64_t>(num_tokens + kMarks + kSplitTokens - room, 0);
    std::size_t end = 0;
    for (std::int64_t i = 0; i < num_tokens - dropped; ++i)
      end += tokenizer_.bytes_of(tokens[static_cast<std::size_t>(i)]).size();
    std::vector<std::size_t> places;
    for (std::size_t at = 0; at <= end; ++at) {
      if (begins_character(text, at)) places.push_back(at);
    }
    const auto place = [&](std::uint32_t draw) {
      return places[(draw * std::uint64_t{places.size()}) >> 32];
    };
    const auto [left, right] = std::minmax({place(first), place(second)});
    Parts parts = encode(text, left, right);
    const std::int64_t excess = parts.num_tokens() + kMarks - room;
    if (excess > static_cast<std::int64_t>(parts.suffix.size())) return std::nullopt;
    if (excess > 0) shorten(parts.suffix, static_cast<std::size_t>(excess));
    return parts;
  }

  [[nodiscard]] Parts encode(std::string_view text, std::size_t left, std::size_t right) const {
    TokenEncoder encoder(tokenizer_, TokenEncoder::Cache::no);
    Parts parts;
    encoder.encode(text.substr(0, left), parts.prefix);
    encoder.encode(text.substr(left, right - left), parts.middle);
    encoder.encode(text.substr(right), parts.suffix);
    return parts;
  }

  // Takes `excess` tokens off the end, and more where that would leave a part of a character.
  void shorten(Ids& tokens, std::size_t excess) const {
    tokens.resize(tokens.size() - excess);
    std::string text = value_or_throw(tokenizer_.decode(tokens));
    while (ends_inside_character(text)) {
      text.resize(text.size() - tokenizer_.bytes_of(tokens.back()).size());
      tokens.pop_back();
    }
  }

  [[nodiscard]] Ids arrange(const Parts& parts, bool suffix_first) const {
    const InfillTokens& marks = options_.tokens;
    Ids ids = {marks.prefix};
    const auto append = [&](const Ids& part) { ids.insert(ids.end(), part.begin(), part.end()); };
    if (!suffix_first) append(parts.prefix);
    ids.push_back(marks.suffix);
    append(parts.suffix);
    ids.push_back(marks.middle);
    if (suffix_first) append(parts.prefix);
    append(parts.middle);
    ids.push_back(marks.end);
    return ids;
  }

  std::unique_ptr<const Dataset> dataset_;
  Tokenizer tokenizer_;
  InfillOptions options_;
  std::vector<bool> is_mark_;  // by id: what text never becomes
};

}  // namespace

std::unique_ptr<Dataset> make_infill_dataset(std::unique_ptr<const Dataset> dataset, Tokenizer tokenizer,
                                             const InfillOptions& options) {
  return std::make_unique<InfillDataset>(std::move(dataset), std::move(tokenizer), options);
}

}  // namespace megalith
