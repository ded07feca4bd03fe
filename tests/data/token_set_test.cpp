// Data sets of several token files: the same data as one pair, and nothing less.
#include "data/token_set.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <numeric>
#include <vector>

#include "data/dataset.h"
#include "data/scratch_folder.h"
#include "data/token_file_names.h"
#include "data/token_file_writer.h"

namespace megalith {
namespace {

namespace fs = std::filesystem;
using Ids = std::vector<std::int32_t>;

// Document d has `lengths[d]` tokens, of which the first d % 3 are its prompt; tokens are numbered from
// `first_token` on, documents from `first_document`.
void write_pair(const fs::path& prefix, const std::vector<int>& lengths, std::int32_t first_token,
                std::size_t first_document, TokenType type = TokenType::uint16,
                const std::string& tokenizer_digest = std::string(16, '0')) {
  TokenFileWriter writer(prefix, type);
  DocumentFactsWriter facts(with_suffix(prefix, ".facts"));
  for (std::size_t d = 0; d < lengths.size(); ++d) {
    for (int i = 0; i < lengths[d]; ++i) writer.append(Ids{first_token++});
    writer.end_document();
    const std::size_t number = first_document + d;
    facts.add(static_cast<std::uint32_t>(number % 2), static_cast<std::uint32_t>(number % 3));
  }
  writer.seal();
  facts.seal();
  const std::string digest(16, '0');
  const TokenMeta meta{.sources = {},
                       .part = "all",
                       .tokenizer_digest = tokenizer_digest,
                       .vocabulary = 1000,
                       .bin_digest = digest,
                       .idx_digest = digest,
                       .documents_digest = digest,
                       .source_names = {"even", "odd"},
                       .has_prompts = true};
  writer.publish_as(prefix, to_json(meta), facts.path());
}

// Shards that end behind the documents `ends`.
void write_shards(const fs::path& prefix, const std::vector<int>& lengths,
                  const std::vector<std::size_t>& ends) {
  std::size_t begin = 0;
  for (std::size_t s = 0; s < ends.size(); ++s) {
    const auto at = [&](std::size_t d) { return lengths.begin() + static_cast<std::ptrdiff_t>(d); };
    write_pair(shard_prefix(prefix, static_cast<std::int64_t>(s), static_cast<std::int64_t>(ends.size())),
               {at(begin), at(ends[s])}, std::accumulate(lengths.begin(), at(begin), 0), begin,
               s % 2 == 0 ? TokenType::uint16 : TokenType::int32);
    begin = ends[s];
  }
}

const std::vector<int> kLengths = {7, 0, 2, 30, 1, 9, 0, 0, 4, 12, 3, 5};
const std::vector<std::size_t> kEnds = {3, 3, 7, 11, 12};  // the second shard is empty

std::string refusal_of(const fs::path& name) {
  const auto set = TokenSet::open(name);
  return set ? "" : to_string(set.error());
}

TEST(TokenSet, OfShardsIsThePairThatTheyCouldHaveBeen) {
  const ScratchFolder folder;
  write_pair(folder / "one", kLengths, 0, 0);
  write_shards(folder / "many", kLengths, kEnds);
  const auto one = value_or_throw(TokenSet::open(folder / "one"));
  const auto many = value_or_throw(TokenSet::open(folder / "many"));
  ASSERT_EQ(many->files().size(), 5u);
  ASSERT_EQ(many->num_tokens(), one->num_tokens());
  ASSERT_EQ(many->num_documents(), one->num_documents());
  EXPECT_EQ(many->largest_id(), one->largest_id());
  EXPECT_TRUE(many->has_prompts());
  for (std::int64_t d = 0; d < one->num_documents(); ++d) {
    EXPECT_EQ(many->document(d).begin, one->document(d).begin) << d;
    EXPECT_EQ(many->document(d).count, one->document(d).count) << d;
    EXPECT_EQ(many->prompt_tokens(d), one->prompt_tokens(d)) << d;
    EXPECT_EQ(many->source(d), one->source(d)) << d;
  }
  for (std::int64_t begin = 0; begin < one->num_tokens(); ++begin) {
    EXPECT_EQ(many->document_of(begin), one->document_of(begin)) << begin;
    const std::int64_t count = one->num_tokens() - begin;
    Ids expected(static_cast<std::size_t>(count)), found(expected.size());
    one->read(begin, count, expected.data());
    many->read(begin, count, found.data());
    EXPECT_EQ(found, expected) << begin;
  }
}

TEST(TokenSet, OfShardsGivesTheSameSamplesInEveryPacking) {
  const ScratchFolder folder;
  write_pair(folder / "one", kLengths, 0, 0);
  write_shards(folder / "many", kLengths, kEnds);
  for (const Packing packing : {Packing::stream, Packing::documents}) {
    for (std::int64_t sequence = 1; sequence < 40; ++sequence) {
      const TokenDatasetOptions options{.sequence = sequence,
                                        .shuffle_seed = 5,
                                        .document_masks = true,
                                        .loss_on = LossOn::completion,
                                        .packing = packing};
      const auto one = make_token_dataset(value_or_throw(TokenSet::open(folder / "one")), options);
      const auto many = make_token_dataset(value_or_throw(TokenSet::open(folder / "many")), options);
      ASSERT_EQ(many->samples_per_epoch(), one->samples_per_epoch());
      const auto size = static_cast<std::size_t>(sequence);
      for (std::int64_t sample = 0; sample < one->samples_per_epoch() + 3; ++sample) {
        Ids ids[2], targets[2], start[2];
        std::vector<std::uint8_t> mask[2];
        for (int which = 0; which < 2; ++which) {
          ids[which].resize(size), targets[which].resize(size), start[which].resize(size);
          mask[which].resize(size);
          (which == 0 ? one : many)
              ->fill(sample, ids[which].data(), targets[which].data(), mask[which].data(),
                     start[which].data());
        }
        EXPECT_EQ(ids[0], ids[1]);
        EXPECT_EQ(targets[0], targets[1]);
        EXPECT_EQ(mask[0], mask[1]);
        EXPECT_EQ(start[0], start[1]);
        EXPECT_EQ(one->describe_sample(sample), many->describe_sample(sample));
      }
    }
  }
}

TEST(TokenSet, NamesShardsThatAreMissing) {
  for (const std::int64_t missing : {0, 2, 4}) {
    const ScratchFolder folder;
    write_shards(folder / "many", kLengths, kEnds);
    const fs::path gone = with_suffix(shard_prefix(folder / "many", missing, 5), ".idx");
    fs::remove(gone);
    EXPECT_NE(refusal_of(folder / "many").find(gone.string()), std::string::npos)
        << refusal_of(folder / "many");
  }
  const ScratchFolder folder;
  write_shards(folder / "many", kLengths, kEnds);
  const fs::path bin = with_suffix(shard_prefix(folder / "many", 3, 5), ".bin");
  fs::remove(bin);
  EXPECT_NE(refusal_of(folder / "many").find(bin.string()), std::string::npos);
}

TEST(TokenSet, RefusesShardsOfTwoSetsAndOfTwoTokenizers) {
  const ScratchFolder folder;
  write_shards(folder / "many", kLengths, kEnds);
  write_shards(folder / "many", kLengths, {12});
  EXPECT_NE(refusal_of(folder / "many").find("sets of 1 and of 5"), std::string::npos)
      << refusal_of(folder / "many");
  write_pair(folder / "p-1", {3}, 0, 0);
  write_pair(folder / "p-2", {3}, 0, 0, TokenType::uint16, "0123456789abcdef");
  EXPECT_NE(refusal_of(folder / "p-*").find("0123456789abcdef"), std::string::npos)
      << refusal_of(folder / "p-*");
}

TEST(TokenSet, OfAPatternHasItsMatchesInTheOrderOfTheirBytes) {
  const ScratchFolder folder;
  write_pair(folder / "b_text_document", {2}, 20, 0);
  write_pair(folder / "a_text_document", {3}, 10, 0);
  write_pair(folder / "other", {3}, 90, 0);
  const auto set = value_or_throw(TokenSet::open(folder / "*_text_document"));
  Ids ids(static_cast<std::size_t>(set->num_tokens()));
  set->read(0, set->num_tokens(), ids.data());
  EXPECT_EQ(ids, (Ids{10, 11, 12, 20, 21}));
  EXPECT_NE(refusal_of(folder / "*_nothing").find("no token files match"), std::string::npos);
  // What has the name is meant, whatever is in it.
  write_pair(folder / "[a]", {1}, 7, 0);
  EXPECT_EQ(value_or_throw(TokenSet::open(folder / "[a]"))->num_tokens(), 1);
}

TEST(TokenFileNames, LeftoversOfDeadProcessesGoAndNothingElse) {
  const ScratchFolder folder;
  const std::string dead = "999999999", alive = std::to_string(::getpid());  // no process has the first
  const std::vector<std::string> gone = {"t-train.bin.tmp-" + dead, "t-train-00000.documents.tmp-" + dead,
                                         "t-train.quarantine.jsonl.tmp-" + dead};
  const std::vector<std::string> stay = {"t-train.bin.tmp-" + alive, "t-train.txt.tmp-" + dead,
                                         "t-trainer.bin.tmp-" + dead, "t-train.bin", "t-train.bin.tmp-1x"};
  for (const auto& names : {gone, stay}) {
    for (const std::string& name : names) write_bytes(folder / name, "x");
  }
  remove_leftovers(folder / "t-train");
  for (const std::string& name : gone) EXPECT_FALSE(fs::exists(folder / name)) << name;
  for (const std::string& name : stay) EXPECT_TRUE(fs::exists(folder / name)) << name;
}

}  // namespace
}  // namespace megalith
