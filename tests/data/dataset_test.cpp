// Samples: windows and masks over a file small enough to check by hand, and the synthetic language.
#include "data/dataset.h"
#include "data/document_facts.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>
#include <vector>

#include "data/scratch_folder.h"
#include "data/token_file_writer.h"

namespace megalith {
namespace {

using Ids = std::vector<std::int32_t>;

struct Sample {
  Ids ids, targets, mask, start;
};

Sample sample_of(const Dataset& dataset, std::int64_t index, std::int64_t sequence) {
  const auto size = static_cast<std::size_t>(sequence);
  Sample sample{Ids(size, -7), Ids(size, -7), {}, Ids(size, -7)};
  std::vector<std::uint8_t> mask(size, 9);
  dataset.fill(index, sample.ids.data(), sample.targets.data(), mask.data(), sample.start.data());
  sample.mask.assign(mask.begin(), mask.end());
  return sample;
}

std::shared_ptr<const TokenSet> token_file(const ScratchFolder& folder, const std::vector<Ids>& documents) {
  TokenFileWriter writer(folder / "t", TokenType::uint16);
  for (const Ids& document : documents) {
    writer.append(document);
    writer.end_document();
  }
  writer.seal();
  writer.publish("");
  return value_or_throw(TokenSet::open(folder / "t"));
}

// Tokens 10 11 12 | 20 | | 30 31 32 33 34 35: ten in all, windows of 4 begin at 0, 4 and 8.
const std::vector<Ids> kDocuments = {{10, 11, 12}, {20}, {}, {30, 31, 32, 33, 34, 35}};

TEST(TokenDataset, CutsWindowsThatShareOneToken) {
  const ScratchFolder folder;
  const auto dataset = make_token_dataset(token_file(folder, kDocuments), {.sequence = 4});
  ASSERT_EQ(dataset->samples_per_epoch(), 3);
  const Sample first = sample_of(*dataset, 0, 4), second = sample_of(*dataset, 1, 4),
               last = sample_of(*dataset, 2, 4);
  EXPECT_EQ(first.ids, (Ids{10, 11, 12, 20}));
  EXPECT_EQ(first.targets, (Ids{11, 12, 20, 30}));
  EXPECT_EQ(first.mask, (Ids{1, 1, 1, 1}));
  EXPECT_EQ(first.start, (Ids{0, 0, 0, 0}));
  EXPECT_EQ(second.ids, (Ids{30, 31, 32, 33}));
  EXPECT_EQ(second.targets, (Ids{31, 32, 33, 34}));
  EXPECT_EQ(last.ids, (Ids{34, 0, 0, 0}));
  EXPECT_EQ(last.targets, (Ids{35, 0, 0, 0}));
  EXPECT_EQ(last.mask, (Ids{1, 0, 0, 0}));
  EXPECT_EQ(last.start, (Ids{0, 0, 0, 0}));
  EXPECT_EQ(sample_of(*dataset, 3, 4).ids, first.ids);
}

TEST(TokenDataset, MarksDocuments) {
  const ScratchFolder folder;
  const auto file = token_file(folder, kDocuments);
  const auto dataset = make_token_dataset(file, {.sequence = 4, .document_masks = true});
  EXPECT_EQ(sample_of(*dataset, 0, 4).start, (Ids{0, 0, 0, 3}));
  EXPECT_EQ(sample_of(*dataset, 0, 4).mask, (Ids{1, 1, 0, 0}));
  EXPECT_EQ(sample_of(*dataset, 1, 4).start, (Ids{0, 0, 0, 0}));
  EXPECT_EQ(sample_of(*dataset, 1, 4).mask, (Ids{1, 1, 1, 1}));
  EXPECT_EQ(sample_of(*dataset, 2, 4).mask, (Ids{1, 0, 0, 0}));
  const auto shifted = make_token_dataset(file, {.sequence = 5, .document_masks = true});
  EXPECT_EQ(sample_of(*shifted, 0, 5).start, (Ids{0, 0, 0, 3, 4}));
  EXPECT_EQ(sample_of(*shifted, 0, 5).mask, (Ids{1, 1, 0, 0, 1}));
  const auto whole = make_token_dataset(file, {.sequence = 12, .document_masks = true});
  EXPECT_EQ(sample_of(*whole, 0, 12).start, (Ids{0, 0, 0, 3, 4, 4, 4, 4, 4, 4, 4, 4}));
  EXPECT_EQ(sample_of(*whole, 0, 12).mask, (Ids{1, 1, 0, 0, 1, 1, 1, 1, 1, 0, 0, 0}));
}

TEST(TokenDataset, DescribesSamples) {
  const ScratchFolder folder;
  const auto dataset =
      make_token_dataset(token_file(folder, kDocuments), {.sequence = 4, .document_masks = true});
  EXPECT_EQ(dataset->describe_sample(0), "epoch 0, window 0: tokens 0..4, documents 0-3");
  EXPECT_EQ(dataset->describe_sample(4), "epoch 1, window 1: tokens 4..8, document 3");
  EXPECT_EQ(dataset->describe_sample(5), "epoch 1, window 2: tokens 8..9, document 3");
}

TEST(TokenDataset, HasOnePaddedWindowForFilesWithoutAPair) {
  for (const std::vector<Ids>& documents :
       {std::vector<Ids>{}, std::vector<Ids>{{}}, std::vector<Ids>{{5}}}) {
    const ScratchFolder folder;
    const auto dataset = make_token_dataset(token_file(folder, documents),
                                            {.sequence = 3, .shuffle_seed = 1, .document_masks = true});
    ASSERT_EQ(dataset->samples_per_epoch(), 1);
    const Sample sample = sample_of(*dataset, 0, 3);
    EXPECT_EQ(sample.ids, (Ids{0, 0, 0}));
    EXPECT_EQ(sample.targets, (Ids{0, 0, 0}));
    EXPECT_EQ(sample.mask, (Ids{0, 0, 0}));
    EXPECT_EQ(dataset->describe_sample(0), "epoch 0, window 0: no tokens");
  }
}

// Every token but the first is the target of exactly one position of an epoch.
TEST(TokenDataset, TrainsOnEveryTokenOncePerEpoch) {
  for (std::int32_t tokens = 2; tokens < 40; ++tokens) {
    Ids document;
    for (std::int32_t i = 0; i < tokens; ++i) document.push_back(i);
    const ScratchFolder folder;
    const auto file = token_file(folder, {document});
    for (std::int64_t sequence = 1; sequence < 12; ++sequence) {
      const auto dataset = make_token_dataset(file, {.sequence = sequence, .shuffle_seed = 4});
      const std::int64_t count = dataset->samples_per_epoch();
      EXPECT_EQ(count, (tokens - 1 + sequence - 1) / sequence);
      std::set<std::int32_t> targets;
      for (std::int64_t i = 0; i < count; ++i) {
        const Sample sample = sample_of(*dataset, 3 * count + i, sequence);
        for (std::size_t t = 0; t < sample.ids.size(); ++t) {
          if (sample.mask[t] == 0) continue;
          EXPECT_EQ(sample.targets[t], sample.ids[t] + 1);
          EXPECT_TRUE(targets.insert(sample.targets[t]).second);
        }
      }
      EXPECT_EQ(targets.size(), static_cast<std::size_t>(tokens - 1));
    }
  }
}

// The windows of the documents of `lengths`, as "first token+inputs: targets" with - where there is none.
// Token t is number t; document d begins with `prompts[d]` tokens of prompt.
std::vector<std::string> windows_of(const std::vector<int>& lengths, TokenDatasetOptions options,
                                    const std::vector<std::uint32_t>& prompts = {}) {
  const ScratchFolder folder;
  TokenFileWriter writer(folder / "t", TokenType::uint16);
  DocumentFactsWriter facts(folder / "facts");
  std::int32_t next = 0;
  for (std::size_t d = 0; d < lengths.size(); ++d) {
    for (int i = 0; i < lengths[d]; ++i) writer.append(std::vector{next++});
    writer.end_document();
    facts.add(0, d < prompts.size() ? prompts[d] : 0);
  }
  writer.seal();
  const std::string digest(16, '0');
  TokenMeta meta{.sources = {},
                 .part = "all",
                 .tokenizer_digest = digest,
                 .vocabulary = 100,
                 .bin_digest = digest,
                 .idx_digest = digest,
                 .documents_digest = digest,
                 .source_names = {"a"},
                 .has_prompts = facts.has_prompts()};
  facts.seal();
  writer.publish_as(folder / "t", to_json(meta), facts.path());
  const auto dataset = make_token_dataset(value_or_throw(TokenSet::open(folder / "t")), options);
  const auto size = static_cast<std::size_t>(options.sequence);
  Ids ids(size), targets(size), start(size);
  std::vector<std::uint8_t> mask(size);
  std::vector<std::string> windows;
  for (std::int64_t sample = 0; sample < dataset->samples_per_epoch(); ++sample) {
    dataset->fill(sample, ids.data(), targets.data(), mask.data(), start.data());
    std::string text = fmt::format("{}:", ids[0]);
    for (std::size_t i = 0; i < size; ++i) text += mask[i] != 0 ? fmt::format(" {}", targets[i]) : " -";
    windows.push_back(text);
  }
  return windows;
}

TEST(TokenDataset, PacksWholeDocumentsAndCutsOnlyWhatIsTooLong) {
  const auto packed = [](const std::vector<int>& lengths) {
    return windows_of(lengths, {.sequence = 4, .document_masks = true, .packing = Packing::documents});
  };
  EXPECT_EQ(packed({2, 3, 0, 4, 1}), (std::vector<std::string>{"0: 1 - 3 4", "5: 6 7 8 -"}));
  EXPECT_EQ(packed({3, 11, 2}), (std::vector<std::string>{"0: 1 2 - -", "3: 4 5 6 7", "7: 8 9 10 11",
                                                          "11: 12 13 - -", "14: 15 - - -"}));
  EXPECT_EQ(packed({5, 5}), (std::vector<std::string>{"0: 1 2 3 4", "5: 6 7 8 9"}));
  EXPECT_EQ(packed({}), (std::vector<std::string>{"0: - - - -"}));
  EXPECT_EQ(packed({1, 0}), (std::vector<std::string>{"0: - - - -"}));
}

TEST(TokenDataset, EveryTokenIsATargetOnceHoweverItIsPacked) {
  const std::vector<int> lengths = {7, 2, 2, 30, 1, 9, 4, 4, 4, 12};
  for (const Packing packing : {Packing::stream, Packing::documents}) {
    for (std::int64_t sequence = 1; sequence < 40; ++sequence) {
      std::vector<int> seen(75, 0);
      for (const std::string& window :
           windows_of(lengths, {.sequence = sequence, .document_masks = true, .packing = packing})) {
        std::istringstream words(window.substr(window.find(':') + 1));
        for (std::string word; words >> word;) {
          if (word != "-") ++seen[static_cast<std::size_t>(std::stoi(word))];
        }
      }
      int token = 0;
      for (const int length : lengths) {
        for (int i = 0; i < length; ++i, ++token)
          EXPECT_EQ(seen[static_cast<std::size_t>(token)], i == 0 ? 0 : 1)
              << token << " of sequence " << sequence;
      }
    }
  }
}

TEST(TokenDataset, LearnsCompletionsOnlyWhereAsked) {
  const std::vector<int> lengths = {4, 3, 6};
  const std::vector<std::uint32_t> prompts = {2, 0, 5};
  const auto windows = [&](bool masks, Packing packing) {
    return windows_of(
        lengths, {.sequence = 6, .document_masks = masks, .loss_on = LossOn::completion, .packing = packing},
        prompts);
  };
  EXPECT_EQ(windows(true, Packing::stream), (std::vector<std::string>{"0: - 2 3 - 5 6", "6: - - - - - 12"}));
  EXPECT_EQ(windows(false, Packing::stream), (std::vector<std::string>{"0: - 2 3 4 5 6", "6: - - - - - 12"}));
  EXPECT_EQ(windows(true, Packing::documents),
            (std::vector<std::string>{"0: - 2 3 - 5 6", "7: - - - - 12 -"}));
}

TEST(SyntheticDataset, IsAFunctionOfSeedAndSample) {
  const auto one = make_synthetic_dataset(100, 32, 9, false),
             again = make_synthetic_dataset(100, 32, 9, false);
  const auto other = make_synthetic_dataset(100, 32, 10, false);
  const Sample sample = sample_of(*one, 123456789012, 32);
  sample_of(*again, 5, 32);
  EXPECT_EQ(sample.ids, sample_of(*again, 123456789012, 32).ids);
  EXPECT_EQ(sample.targets, sample_of(*again, 123456789012, 32).targets);
  EXPECT_NE(sample.ids, sample_of(*other, 123456789012, 32).ids);
  EXPECT_NE(sample.ids, sample_of(*one, 123456789013, 32).ids);
  EXPECT_EQ(Ids(sample.ids.begin() + 1, sample.ids.end()),
            Ids(sample.targets.begin(), sample.targets.end() - 1));
  EXPECT_EQ(sample.mask, Ids(32, 1));
  EXPECT_EQ(sample.start, Ids(32, 0));
}

// The numbers are part of what a run can be repeated from.
TEST(SyntheticDataset, DrawsTheSameNumbersEverywhere) {
  const auto dataset = make_synthetic_dataset(50, 12, 1, false);
  EXPECT_EQ(sample_of(*dataset, 0, 12).ids, (Ids{24, 28, 36, 32, 22, 48, 48, 5, 2, 44, 36, 14}));
}

TEST(SyntheticDataset, SharesNoSampleBetweenTrainingAndHeldOut) {
  const auto train = make_synthetic_dataset(1000, 64, 3, false),
             held_out = make_synthetic_dataset(1000, 64, 3, true);
  EXPECT_EQ(train->samples_per_epoch(), std::int64_t{1} << 40);
  EXPECT_EQ(held_out->samples_per_epoch(), 256);
  std::set<Ids> seen;
  for (std::int64_t i = 0; i < 256; ++i) {
    EXPECT_TRUE(seen.insert(sample_of(*train, i, 64).ids).second);
    EXPECT_TRUE(seen.insert(sample_of(*held_out, i, 64).ids).second);
  }
  EXPECT_EQ(sample_of(*held_out, 256, 64).ids, sample_of(*held_out, 0, 64).ids);
  EXPECT_EQ(sample_of(*train, std::int64_t{1} << 40, 64).ids, sample_of(*train, 0, 64).ids);
}

TEST(SyntheticDataset, TakesEveryVocabularyAndSequence) {
  for (const std::int64_t vocabulary : {1, 2, 3, 255, 50257, 2147483647}) {
    for (const std::int64_t sequence : {1, 2, 7, 8, 9, 40}) {
      const Sample sample = sample_of(*make_synthetic_dataset(vocabulary, sequence, 1, false), 3, sequence);
      for (const Ids& ids : {sample.ids, sample.targets}) {
        for (const std::int32_t id : ids)
          EXPECT_TRUE(id >= 0 && id < vocabulary) << id << " of " << vocabulary;
      }
    }
  }
}

// What a model can learn: given the token before, held-out text costs far less than the log of the vocabulary
// under counts of the training text.
TEST(SyntheticDataset, HasPairsToLearnThatHoldForHeldOutText) {
  constexpr std::int64_t kVocabulary = 64, kSequence = 256;
  const auto train = make_synthetic_dataset(kVocabulary, kSequence, 5, false);
  const auto held_out = make_synthetic_dataset(kVocabulary, kSequence, 5, true);
  std::map<std::pair<std::int32_t, std::int32_t>, double> pairs;
  std::map<std::int32_t, double> firsts;
  for (std::int64_t i = 0; i < 200; ++i) {
    const Sample sample = sample_of(*train, i, kSequence);
    for (std::size_t t = 0; t < sample.ids.size(); ++t) {
      ++pairs[{sample.ids[t], sample.targets[t]}];
      ++firsts[sample.ids[t]];
    }
  }
  double cost = 0;
  for (std::int64_t i = 0; i < 50; ++i) {
    const Sample sample = sample_of(*held_out, i, kSequence);
    for (std::size_t t = 0; t < sample.ids.size(); ++t) {
      cost -= std::log((pairs[{sample.ids[t], sample.targets[t]}] + 0.5) /
                       (firsts[sample.ids[t]] + 0.5 * static_cast<double>(kVocabulary)));
    }
  }
  EXPECT_LT(cost / (50 * kSequence), 0.75 * std::log(static_cast<double>(kVocabulary)));
}

}  // namespace
}  // namespace megalith
