// Samples for filling gaps: the parts of every fragment come back, in their order, and nothing else is
// learned.
#include "data/infill_dataset.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "data/scratch_folder.h"
#include "data/token_file_writer.h"
#include "data/tokenizer/bpe_trainer.h"
#include "data/tokenizer/utf8.h"

namespace megalith {
namespace {

using Ids = std::vector<std::int32_t>;

const std::vector<std::string> kTexts = {
    "the cat sat on the mat and the hat, caf\xc3\xa9 na\xc3\xafve \xe4\xb8\xad\xe6\x96\x87 the cat again",
    "short",
    "a mat \xf0\x9f\x98\x80\xf0\x9f\x98\x80 and then a very long tail of words that goes on and on and on "
    "for a while"};

Tokenizer make_tokenizer() {
  std::vector<std::string> special = {"<|endoftext|>"};
  for (const std::string& token : usual_infill_tokens()) special.push_back(token);
  TextsInMemory source(kTexts);
  return value_or_throw(train_bpe(source, {.vocabulary_size = 300, .special_tokens = special}));
}

struct Sample {
  Ids ids, targets, start;
  std::vector<std::uint8_t> mask;
};

class Infill : public testing::Test {
 protected:
  Infill()
      : tokenizer(make_tokenizer()),
        marks(value_or_throw(find_infill_tokens(tokenizer, usual_infill_tokens(), "t"))) {
    TokenFileWriter writer(folder / "t", TokenType::uint16);
    for (int copy = 0; copy < 40; ++copy) {
      for (const std::string& text : kTexts) {
        Ids ids;
        tokenizer.encode(text, ids);
        ids.push_back(marks.end);
        writer.append(ids);
        writer.end_document();
      }
    }
    writer.seal();
    writer.publish("");
    file = value_or_throw(TokenSet::open(folder / "t"));
  }

  [[nodiscard]] std::unique_ptr<Dataset> plain(std::int64_t sequence) const {
    return make_token_dataset(file, {.sequence = sequence, .document_masks = true});
  }
  [[nodiscard]] std::unique_ptr<Dataset> infill(std::int64_t sequence, InfillOptions options) const {
    options.sequence = sequence;
    options.tokens = marks;
    return make_infill_dataset(plain(sequence), tokenizer, options);
  }
  static Sample sample_of(const Dataset& dataset, std::int64_t index, std::int64_t sequence) {
    const auto size = static_cast<std::size_t>(sequence);
    Sample sample{Ids(size), Ids(size), Ids(size), std::vector<std::uint8_t>(size)};
    dataset.fill(index, sample.ids.data(), sample.targets.data(), sample.mask.data(), sample.start.data());
    return sample;
  }
  // The fragment of `sample` that begins at `begin`, with its last target where it has one.
  static Ids fragment(const Sample& sample, std::size_t begin) {
    Ids ids;
    std::size_t i = begin;
    for (; i < sample.ids.size() && sample.start[i] == static_cast<std::int32_t>(begin); ++i)
      ids.push_back(sample.ids[i]);
    if (sample.mask[i - 1] != 0) ids.push_back(sample.targets[i - 1]);
    return ids;
  }
  [[nodiscard]] std::string text_of(Ids::const_iterator begin, Ids::const_iterator end) const {
    return value_or_throw(tokenizer.decode(std::vector<std::int32_t>(begin, end)));
  }

  struct Parts {
    std::string prefix, suffix, middle;
    bool suffix_first = false, rearranged = false;
  };
  [[nodiscard]] Parts parts_of(const Ids& ids) const {
    Parts parts;
    if (ids.empty() || ids[0] != marks.prefix) return parts;
    const auto s = std::find(ids.begin(), ids.end(), marks.suffix), m = std::find(s, ids.end(), marks.middle),
               e = std::find(m, ids.end(), marks.end);
    parts.rearranged = e != ids.end();
    if (!parts.rearranged) return parts;
    parts.suffix_first = s == ids.begin() + 1;
    parts.prefix = text_of(ids.begin() + 1, s);
    parts.suffix = text_of(s + 1, m);
    parts.middle = text_of(m + 1, e);
    return parts;
  }

  ScratchFolder folder;
  Tokenizer tokenizer;
  InfillTokens marks;
  std::shared_ptr<const TokenSet> file;
};

TEST_F(Infill, GivesTheFragmentsTextBackButForTheEndOfTheSuffix) {
  for (const std::int64_t sequence : {24, 64, 200}) {
    const auto before = plain(sequence), after = infill(sequence, {.seed = 3});
    int rearranged = 0, same = 0;
    for (std::int64_t index = 0; index < before->samples_per_epoch(); ++index) {
      const Sample one = sample_of(*before, index, sequence), other = sample_of(*after, index, sequence);
      EXPECT_EQ(one.start, other.start);
      for (std::size_t begin = 0; begin < one.start.size(); ++begin) {
        if (one.start[begin] != static_cast<std::int32_t>(begin)) continue;
        Ids whole = fragment(one, begin);
        const Parts parts = parts_of(fragment(other, begin));
        if (!parts.rearranged) {
          EXPECT_EQ(fragment(other, begin), whole);
          ++same;
          continue;
        }
        ++rearranged;
        const auto padding = std::find(whole.begin(), whole.end(), marks.end);
        const std::string text = text_of(whole.begin(), padding);
        const std::string again = parts.prefix + parts.middle + parts.suffix;
        EXPECT_EQ(again, text.substr(0, again.size())) << sequence;
        EXPECT_LE(text.size(), again.size() + 60);
        for (const std::string& part : {parts.prefix, parts.middle}) {
          // Only the window may begin inside a character.
          if (begin > 0) {
            EXPECT_EQ(valid_utf8_prefix(part), part.size());
          }
        }
      }
    }
    EXPECT_GT(rearranged, 30) << sequence;
    EXPECT_GT(same, 0) << sequence;
  }
}

TEST_F(Infill, LearnsEachNextTokenAndNothingBehindTheEnd) {
  const auto dataset = infill(64, {.seed = 5, .spm = 0.5});
  for (std::int64_t index = 0; index < dataset->samples_per_epoch(); ++index) {
    const Sample sample = sample_of(*dataset, index, 64);
    for (std::size_t i = 0; i + 1 < 64; ++i) {
      if (sample.mask[i] == 0) continue;
      if (sample.start[i + 1] == sample.start[i]) {
        EXPECT_EQ(sample.targets[i], sample.ids[i + 1]);
      }
      EXPECT_NE(sample.ids[i], marks.end);
    }
  }
}

TEST_F(Infill, IsAPureFunctionOfSeedAndSampleAndANewOneInTheNextEpoch) {
  const auto one = infill(64, {.seed = 5}), same = infill(64, {.seed = 5}), other = infill(64, {.seed = 6});
  const std::int64_t epoch = one->samples_per_epoch();
  int differ = 0, differ_later = 0;
  for (std::int64_t index = 0; index < epoch; ++index) {
    EXPECT_EQ(sample_of(*one, index, 64).ids, sample_of(*same, index, 64).ids);
    differ += sample_of(*one, index, 64).ids != sample_of(*other, index, 64).ids ? 1 : 0;
    differ_later += sample_of(*one, index, 64).ids != sample_of(*one, index + epoch, 64).ids ? 1 : 0;
  }
  EXPECT_GT(differ, epoch / 2);
  EXPECT_GT(differ_later, epoch / 2);
}

TEST_F(Infill, RearrangesTheShareThatIsAskedForInTheOrderThatIsAskedFor) {
  std::map<std::string, int> counts;
  const auto dataset = infill(64, {.seed = 7, .rate = 0.5, .spm = 0.25});
  const auto never = infill(64, {.seed = 7, .rate = 0}), before = plain(64);
  for (std::int64_t index = 0; index < 10 * dataset->samples_per_epoch(); ++index) {
    const Sample sample = sample_of(*dataset, index, 64), untouched = sample_of(*before, index, 64);
    EXPECT_EQ(sample_of(*never, index, 64).ids, untouched.ids);
    for (std::size_t begin = 0; begin < 64; ++begin) {
      if (sample.start[begin] != static_cast<std::int32_t>(begin) || fragment(untouched, begin).size() < 20)
        continue;
      const Parts parts = parts_of(fragment(sample, begin));
      ++counts["all"];
      if (!parts.rearranged) continue;
      ++counts["rearranged"];
      // An empty prefix looks the same either way.
      if (parts.suffix_first) ++counts["suffix first"];
    }
  }
  EXPECT_NEAR(counts["rearranged"], 0.5 * counts["all"], 0.06 * counts["all"]);
  EXPECT_NEAR(counts["suffix first"], 0.27 * counts["rearranged"], 0.09 * counts["rearranged"]);
}

TEST_F(Infill, MeasuresTheSameMiddlesWithAndWithoutWhatStandsBehindThem) {
  InfillOptions options{.seed = 9, .only_middles = true};
  const auto both = infill(64, options);
  options.hide_suffix = true;
  const auto left = infill(64, options);
  int middles = 0;
  for (std::int64_t index = 0; index < both->samples_per_epoch(); ++index) {
    const Sample a = sample_of(*both, index, 64), b = sample_of(*left, index, 64);
    Ids targets_a, targets_b;
    for (std::size_t i = 0; i < 64; ++i) {
      if (a.mask[i] != 0) targets_a.push_back(a.targets[i]);
      if (b.mask[i] != 0) targets_b.push_back(b.targets[i]);
    }
    EXPECT_EQ(targets_a, targets_b);
    middles += static_cast<int>(std::count(targets_a.begin(), targets_a.end(), marks.end));
  }
  EXPECT_GT(middles, 30);
}

TEST_F(Infill, RefusesTokenizersWithoutTheMarks) {
  TextsInMemory source(kTexts);
  const Tokenizer bare = value_or_throw(train_bpe(source, {.vocabulary_size = 270}));
  const auto found = find_infill_tokens(bare, usual_infill_tokens(), "data.tokenizer");
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().size(), 4u - (bare.end_of_document() ? 1u : 0u));
  EXPECT_NE(to_string(found.error()).find("--infill"), std::string::npos);
}

}  // namespace
}  // namespace megalith
