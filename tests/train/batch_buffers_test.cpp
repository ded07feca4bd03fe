// What the model is given as a batch, against the rows of the dataset it comes from.
#include "train/batch_buffers.h"

#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "data/scratch_folder.h"
#include "data/token_file_writer.h"

namespace megalith {
namespace {

using Ids = std::vector<std::int32_t>;
constexpr std::int64_t kSequence = 4;

// One sequence as the model sees it.
struct Row {
  std::int64_t sample = 0;
  Ids ids, targets, mask, start, positions;
  bool operator==(const Row&) const = default;
};

Row row_of(const MicroBatch& batch, std::int64_t sequence) {
  const std::int64_t t = sequence * batch.sequence;
  const auto cut = [&](const auto* array) { return Ids(array + t, array + t + batch.sequence); };
  return {.sample = batch.samples[sequence],
          .ids = cut(batch.ids),
          .targets = cut(batch.targets),
          .mask = cut(batch.loss_mask),
          .start = cut(batch.document_start),
          .positions = cut(batch.positions)};
}

Row row_of(const Dataset& dataset, std::int64_t sample, std::int64_t sequence) {
  const auto size = static_cast<std::size_t>(sequence);
  Row row{.sample = sample,
          .ids = Ids(size),
          .targets = Ids(size),
          .mask = {},
          .start = Ids(size),
          .positions = {}};
  std::vector<std::uint8_t> mask(size);
  dataset.fill(sample, row.ids.data(), row.targets.data(), mask.data(), row.start.data());
  row.mask.assign(mask.begin(), mask.end());
  std::int32_t position = 0;
  for (std::size_t t = 0; t < size; ++t) {
    if (row.start[t] == static_cast<std::int32_t>(t)) position = 0;
    row.positions.push_back(position++);
  }
  return row;
}

// Tokens 10 11 12 | 20 | | 30 31 32 33 34 35: windows of four tokens begin at 0, 4 and 8.
std::unique_ptr<Dataset> small_dataset(const ScratchFolder& folder, bool document_masks,
                                       std::int64_t sequence = kSequence) {
  TokenFileWriter writer(folder / "t", TokenType::uint16);
  for (const Ids& document : {Ids{10, 11, 12}, Ids{20}, Ids{}, Ids{30, 31, 32, 33, 34, 35}}) {
    writer.append(document);
    writer.end_document();
  }
  writer.seal();
  writer.publish("");
  return make_token_dataset(value_or_throw(TokenSet::open(folder / "t")),
                            {.sequence = sequence, .document_masks = document_masks});
}

TEST(BatchBuffers, HoldTheRowsOfTheDatasetInOrder) {
  const ScratchFolder folder;
  const auto dataset = small_dataset(folder, true);
  BatchBuffers buffers(3, kSequence);
  const MicroBatch& batch = buffers.fill(*dataset, 0, 3);
  EXPECT_EQ(batch.sequences, 3);
  EXPECT_EQ(batch.sequence, kSequence);
  EXPECT_EQ(row_of(batch, 0),
            (Row{0, {10, 11, 12, 20}, {11, 12, 20, 30}, {1, 1, 0, 0}, {0, 0, 0, 3}, {0, 1, 2, 0}}));
  EXPECT_EQ(row_of(batch, 1),
            (Row{1, {30, 31, 32, 33}, {31, 32, 33, 34}, {1, 1, 1, 1}, {0, 0, 0, 0}, {0, 1, 2, 3}}));
  EXPECT_EQ(row_of(batch, 2),
            (Row{2, {34, 0, 0, 0}, {35, 0, 0, 0}, {1, 0, 0, 0}, {0, 0, 0, 0}, {0, 1, 2, 3}}));
}

TEST(BatchBuffers, GiveTheLastTokenOfADocumentNoTargetOnlyUnderDocumentMasks) {
  const ScratchFolder folder;
  for (const bool masks : {true, false}) {
    const auto dataset = small_dataset(folder, masks, 9);
    BatchBuffers buffers(1, 9);
    const Row row = row_of(buffers.fill(*dataset, 0, 1), 0);
    EXPECT_EQ(row.ids, (Ids{10, 11, 12, 20, 30, 31, 32, 33, 34}));
    EXPECT_EQ(row.mask, masks ? (Ids{1, 1, 0, 0, 1, 1, 1, 1, 1}) : Ids(9, 1));
    EXPECT_EQ(row.positions, masks ? (Ids{0, 1, 2, 0, 0, 1, 2, 3, 4}) : (Ids{0, 1, 2, 3, 4, 5, 6, 7, 8}));
  }
}

TEST(BatchBuffers, CountPositionsFromTheStartOfEveryDocument) {
  const ScratchFolder folder;
  for (std::int64_t sequence = 1; sequence <= 12; ++sequence) {
    const auto dataset = small_dataset(folder, true, sequence);
    BatchBuffers buffers(2, sequence);
    for (std::int64_t sample = 0; sample < 6; sample += 2) {
      const MicroBatch& batch = buffers.fill(*dataset, sample, 2);
      for (std::int64_t i = 0; i < 2; ++i)
        EXPECT_EQ(row_of(batch, i), row_of(*dataset, sample + i, sequence));
    }
  }
}

TEST(BatchBuffers, MaskTheRestOfAShortBatchWhatEverStoodThereBefore) {
  const ScratchFolder folder;
  const auto dataset = small_dataset(folder, true);
  BatchBuffers buffers(3, kSequence);
  buffers.fill(*dataset, 0, 3);
  const MicroBatch& batch = buffers.fill(*dataset, 1, 1);
  EXPECT_EQ(row_of(batch, 0), row_of(*dataset, 1, kSequence));
  for (std::int64_t i = 1; i < 3; ++i) {
    const Row row = row_of(batch, i);
    EXPECT_EQ(row.ids, Ids(kSequence, 0));
    EXPECT_EQ(row.targets, Ids(kSequence, 0));
    EXPECT_EQ(row.mask, Ids(kSequence, 0));
    EXPECT_EQ(row.start, Ids(kSequence, 0));
    EXPECT_EQ(row.positions, (Ids{0, 1, 2, 3}));
  }
}

TEST(BatchBuffers, MicroBatchesCoverEverySampleOnceAndTheirDigestsAddUp) {
  constexpr std::int64_t kGlobal = 12;
  const auto dataset = make_synthetic_dataset(97, kSequence, 3, false);
  std::uint64_t whole = 0;
  for (const std::int64_t micro : {12, 1, 2, 3, 4, 6}) {
    BatchBuffers buffers(micro, kSequence);
    std::map<std::int64_t, int> seen;
    std::uint64_t digest = 0;
    for (std::int64_t first = 0; first < kGlobal; first += micro) {
      const MicroBatch& batch = buffers.fill(*dataset, 5 * kGlobal + first, micro);
      digest += buffers.digest(micro);
      for (std::int64_t i = 0; i < micro; ++i) {
        ++seen[batch.samples[i]];
        EXPECT_EQ(row_of(batch, i), row_of(*dataset, batch.samples[i], kSequence));
      }
    }
    ASSERT_EQ(seen.size(), static_cast<std::size_t>(kGlobal));
    EXPECT_EQ(seen.begin()->first, 5 * kGlobal);
    for (const auto& [sample, times] : seen) EXPECT_EQ(times, 1) << sample;
    if (micro == kGlobal) whole = digest;
    EXPECT_EQ(digest, whole) << micro;
  }
}

TEST(BatchBuffers, TheDigestSeesSamplesAndIgnoresUnusedRows) {
  const auto dataset = make_synthetic_dataset(97, kSequence, 3, false);
  const auto other = make_synthetic_dataset(97, kSequence, 4, false);
  BatchBuffers buffers(3, kSequence), small(2, kSequence);
  buffers.fill(*dataset, 7, 3);
  small.fill(*dataset, 7, 2);
  EXPECT_EQ(buffers.digest(2), small.digest(2));
  EXPECT_NE(buffers.digest(3), small.digest(2));
  small.fill(*dataset, 8, 2);
  EXPECT_NE(buffers.digest(2), small.digest(2));
  small.fill(*other, 7, 2);
  EXPECT_NE(buffers.digest(2), small.digest(2));
}

}  // namespace
}  // namespace megalith
