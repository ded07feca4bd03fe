// Samples from which a model learns to fill in the middle of a text: parts of documents change places.
#pragma once

#include <cstdint>
#include <memory>

#include "data/dataset.h"
#include "data/infill_tokens.h"
#include "data/tokenizer/tokenizer.h"

namespace megalith {

struct InfillOptions {
  std::int64_t sequence = 0;  // of the dataset
  InfillTokens tokens;
  std::uint64_t seed = 0;
  double rate = 1;  // share of the fragments that are rearranged
  double spm = 0;   // share of these in the order suffix, prefix, middle
  // The only targets are the middles and their ends; fragments that stay as they are have none.
  bool only_middles = false;
  bool hide_suffix = false;  // the same middles, without what stands behind them
};

// Rearranges fragments: the parts of documents that a sample holds, as document_start tells them. Two cuts,
// uniform over the characters, make a prefix, a middle and a suffix, which are encoded one by one, so a cut
// may lie inside a token but never inside a character. With P, S, M and E for the tokens:
//   P prefix S suffix M middle E        or, as SPM:        P S suffix M prefix middle E
// A fragment keeps its place. What does not fit is taken from the end of its suffix; what remains is padded
// with id 0, target 0, mask 0. Where the place is full, E is a target only. As they are stay fragments of
// fewer than 8 tokens, those with special tokens inside or ids that the tokenizer lacks, and those that do
// not fit even without a suffix.
//
// A pure function of the seed, the sample's index and the fragment's start, so each epoch has cuts of its
// own. REQUIRES: `dataset` has document masks and masks no targets inside documents.
std::unique_ptr<Dataset> make_infill_dataset(std::unique_ptr<const Dataset> dataset, Tokenizer tokenizer,
                                             const InfillOptions& options);

}  // namespace megalith
