#include "run/checkpoint.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <numeric>

#include "run/checkpoint_store.h"
#include "run/temporary_folder.h"

namespace megalith {
namespace {

using test::names_in;
using test::overwrite;
using test::slurp;
using test::spill;
using test::TemporaryFolder;

CheckpointFacts facts_of(std::int64_t step) {
  LedgerLine line;
  line.step = step;
  line.loss = 2.5;
  line.parameter_digest = 0xabcdef;
  return {.step = step,
          .config = "seed = 1\n# \"quotes\" and \xc3\xa9\n",
          .numerics = "version=1 tree=8",
          .next_sample = 17,
          .tokens_seen = 4096,
          .ledger = line,
          .notes = {{"why", "because"}}};
}

// Weights 0, 1, 2, ... of shape 6 x 5, and a bias: small enough that a test can try every byte.
struct Model {
  std::vector<float> weight = std::vector<float>(30);
  std::vector<std::uint8_t> flags{1, 2, 3};
  std::vector<std::int64_t> counts{-1, 5};
  Model() { std::iota(weight.begin(), weight.end(), 0.0f); }
  std::filesystem::path save(const std::filesystem::path& checkpoints, std::int64_t step,
                             CheckpointOptions options = {}) {
    CheckpointWriter writer(checkpoints, step, options);
    writer.add("flags", Tensor(flags.data(), DType::u8, {3}));
    writer.add("weight", Tensor(weight.data(), DType::f32, {6, 5}));
    writer.add("counts", Tensor(counts.data(), DType::i64, {2}));
    writer.add_file("tokenizer.json", "{}");
    return writer.finish(facts_of(step));
  }
};

TEST(Checkpoint, GivesBackWhatWasPutIn) {
  TemporaryFolder folder;
  const std::filesystem::path path = Model().save(folder.path(), 1000);
  EXPECT_EQ(path.filename(), "step-00001000");
  EXPECT_EQ(names_in(folder.path()), std::vector<std::string>{"step-00001000"});
  const Expected<Checkpoint> checkpoint = open_checkpoint(path);
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  EXPECT_TRUE(checkpoint->verify());
  const CheckpointFacts expected = facts_of(1000);
  EXPECT_EQ(checkpoint->facts().config, expected.config);
  EXPECT_EQ(checkpoint->facts().numerics, expected.numerics);
  EXPECT_EQ(checkpoint->facts().next_sample, 17);
  EXPECT_EQ(checkpoint->facts().tokens_seen, 4096);
  EXPECT_EQ(checkpoint->facts().notes, expected.notes);
  ASSERT_TRUE(checkpoint->facts().ledger);
  EXPECT_EQ(first_difference(*checkpoint->facts().ledger, *expected.ledger), std::nullopt);
  EXPECT_EQ(checkpoint->file_text("tokenizer.json").value(), "{}");
  std::vector<float> weight(30);
  ASSERT_TRUE(checkpoint->load("weight", Tensor(weight.data(), DType::f32, {1, 6, 5})));
  EXPECT_EQ(weight, Model().weight);
  const auto counts = checkpoint->in_place("counts");
  ASSERT_TRUE(counts);
  EXPECT_EQ(std::memcmp(counts->data(), Model().counts.data(), 16), 0);
}

TEST(Checkpoint, TheSameStateGivesTheSameBytes) {
  TemporaryFolder a;
  TemporaryFolder b;
  const auto first = Model().save(a.path(), 3);
  const auto second = Model().save(b.path(), 3);
  for (const std::string& name : names_in(first))
    EXPECT_EQ(slurp(first / name), slurp(second / name)) << name;
}

TEST(Checkpoint, CutsShardsWhereTheNextTensorWouldPassTheLimit) {
  TemporaryFolder folder;
  std::vector<float> values(100);
  CheckpointWriter writer(folder.path(), 1, {.shard_bytes = 100, .chunk_bytes = 64});
  for (int t = 0; t < 5; ++t) {  // 40 bytes each: two a file
    writer.add(fmt::format("t{}", t), Tensor(values.data() + 10 * t, DType::f32, {10}));
  }
  writer.add("wide", Tensor(values.data(), DType::f32, {100}));  // alone exceeds the limit
  const auto path = writer.finish(facts_of(1));
  EXPECT_EQ(names_in(path),
            (std::vector<std::string>{"manifest.json", "shard-00001.safetensors", "shard-00002.safetensors",
                                      "shard-00003.safetensors", "shard-00004.safetensors"}));
  EXPECT_TRUE(verify_checkpoint(path));
}

TEST(Checkpoint, ATensorSavedInSlicesIsLoadedWholeOrCutInAnotherWay) {
  TemporaryFolder folder;
  std::vector<float> whole(4 * 6 * 10);
  std::iota(whole.begin(), whole.end(), 0.0f);
  const Tensor matrix(whole.data(), DType::f32, {24, 10});
  CheckpointWriter writer(folder.path(), 1, {.shard_bytes = 300});
  for (std::int64_t row = 0; row < 24; row += 8) {  // 3 row ranks, each cut into 2 column ranks
    for (std::int64_t column = 0; column < 10; column += 5) {
      writer.add_slice("w", matrix.shape, {0, 0, row, column},
                       matrix.row_slice(row, 8).column_slice(column, 5));
    }
  }
  const Checkpoint checkpoint = value_or_throw(open_checkpoint(writer.finish(facts_of(1))));
  EXPECT_EQ(checkpoint.in_place("w"), std::nullopt);
  std::vector<float> loaded(whole.size());
  ASSERT_TRUE(checkpoint.load("w", Tensor(loaded.data(), DType::f32, {24, 10})));
  EXPECT_EQ(loaded, whole);
  std::vector<float> box(7 * 3);
  ASSERT_TRUE(checkpoint.load_slice("w", {0, 0, 5, 4}, Tensor(box.data(), DType::f32, {7, 3})));
  for (std::int64_t r = 0; r < 7; ++r) {
    for (std::int64_t c = 0; c < 3; ++c) EXPECT_EQ(box[r * 3 + c], static_cast<float>((r + 5) * 10 + c + 4));
  }
}

TEST(Checkpoint, RefusesToLoadIntoAnotherTypeOrShape) {
  TemporaryFolder folder;
  const Checkpoint checkpoint = value_or_throw(open_checkpoint(Model().save(folder.path(), 1)));
  std::vector<float> room(64);
  const auto message = [&](const char* name, const Tensor& tensor) {
    const Expected<void> loaded = checkpoint.load(name, tensor);
    return loaded ? "loaded" : to_string(loaded.error());
  };
  EXPECT_NE(message("weight", Tensor(room.data(), DType::bf16, {6, 5})).find("found f32; allowed: bf16"),
            std::string::npos);
  EXPECT_NE(
      message("weight", Tensor(room.data(), DType::f32, {5, 6})).find("found shape 6x5; allowed: shape 5x6"),
      std::string::npos);
  EXPECT_NE(message("weigh", Tensor(room.data(), DType::f32, {6, 5})).find("try: weight"), std::string::npos);
  EXPECT_FALSE(checkpoint.load_slice("weight", {0, 0, 5, 0}, Tensor(room.data(), DType::f32, {2, 5})));
}

TEST(Checkpoint, EveryFlippedByteIsNamedByFileAndChunkAndTheOneBeforeIsTaken) {
  TemporaryFolder folder;
  Model().save(folder.path(), 10, {.chunk_bytes = 64});
  const std::filesystem::path newest = Model().save(folder.path(), 20, {.chunk_bytes = 64});
  for (const std::string& name : names_in(newest)) {
    const std::string good = slurp(newest / name);
    for (std::size_t at = 0; at < good.size(); ++at) {
      const auto bad = static_cast<char>(good[at] ^ (1 << at % 8));
      overwrite(newest / name, at, bad);
      const Expected<void> sound = verify_checkpoint(newest);
      ASSERT_FALSE(sound) << name << " byte " << at;
      const std::string message = to_string(sound.error());
      EXPECT_NE(message.find((newest / name).string()), std::string::npos) << message;
      if (name != "manifest.json") {
        EXPECT_NE(message.find(fmt::format("chunk {} (bytes {} to ", at / 64, at / 64 * 64)),
                  std::string::npos)
            << message;
      }
      if (at % 16 == 0) {
        const NewestGood taken = newest_good_checkpoint(folder.path());
        ASSERT_TRUE(taken.checkpoint);
        EXPECT_EQ(taken.checkpoint->facts().step, 10);
        EXPECT_EQ(to_string(taken.skipped), message);
      }
      overwrite(newest / name, at, good[at]);
    }
  }
  EXPECT_EQ(newest_good_checkpoint(folder.path()).checkpoint->facts().step, 20);
}

TEST(Checkpoint, ChecksWhatIsReadWhenAskedTo) {
  TemporaryFolder folder;
  const std::filesystem::path path = Model().save(folder.path(), 1, {.chunk_bytes = 16});
  Checkpoint trusting = value_or_throw(open_checkpoint(path));
  Checkpoint checking = value_or_throw(open_checkpoint(path));
  checking.check_what_is_read();
  const std::string file = "shard-00001.safetensors";
  const auto begin = slurp(path / file).find(std::string("\0\0\x80\x3f", 4)) - 4;  // 1.0f behind 0.0f
  const std::size_t at = begin + 23 * sizeof(float);                               // row 4, column 3
  overwrite(path / file, at, '\x55');
  std::vector<float> rows(30);
  const auto load = [&](const Checkpoint& checkpoint, std::int64_t row, std::int64_t count) {
    return checkpoint.load_slice("weight", {0, 0, row, 0}, Tensor(rows.data(), DType::f32, {1, 1, count, 5}));
  };
  EXPECT_TRUE(load(trusting, 4, 1));
  EXPECT_TRUE(load(checking, 0, 3));
  const Expected<void> damaged = load(checking, 3, 2);
  ASSERT_FALSE(damaged);
  EXPECT_NE(to_string(damaged.error()).find(fmt::format("{}: found chunk {} (bytes", file, at / 16)),
            std::string::npos)
      << to_string(damaged.error());
  EXPECT_FALSE(load(checking, 3, 2)) << "the second time";
}

TEST(Checkpoint, TruncatedMissingAndForeignFilesAreRefused) {
  TemporaryFolder folder;
  const std::filesystem::path path = Model().save(folder.path(), 1);
  for (const std::string& name : names_in(path)) {
    const std::string good = slurp(path / name);
    for (const std::size_t size : {std::size_t{0}, std::size_t{1}, good.size() / 2, good.size() - 1}) {
      spill(path / name, good.substr(0, size));
      EXPECT_FALSE(open_checkpoint(path)) << name << " cut to " << size;
      EXPECT_FALSE(verify_checkpoint(path)) << name << " cut to " << size;
    }
    std::filesystem::remove(path / name);
    EXPECT_FALSE(open_checkpoint(path)) << name;
    spill(path / name, "\x89PNG\r\n");
    EXPECT_FALSE(open_checkpoint(path)) << name;
    spill(path / name, good);
  }
  EXPECT_TRUE(open_checkpoint(path));
}

TEST(Checkpoint, AManifestThatNamesTheWrongTensorIsRefused) {
  // Sound by itself, with a digest that fits, but not the tensors that the manifest lists.
  TemporaryFolder folder;
  const std::filesystem::path path = Model().save(folder.path(), 1);
  Manifest manifest = value_or_throw(parse_manifest(slurp(path / "manifest.json"), "m"));
  manifest.tensors.at("weight").slices[0].key = "flags";
  spill(path / "manifest.json", to_text(manifest));
  const Expected<void> sound = verify_checkpoint(path);
  ASSERT_FALSE(sound);
  EXPECT_NE(to_string(sound.error()).find("shard-00001.safetensors"), std::string::npos);
}

TEST(Manifest, RefusesPartsThatContradictEachOther) {
  TemporaryFolder folder;
  const std::filesystem::path path = Model().save(folder.path(), 1);
  const Manifest good = value_or_throw(parse_manifest(slurp(path / "manifest.json"), "m"));
  const auto message_after = [&](const auto& change) {
    Manifest manifest = good;
    change(manifest);
    const Expected<Manifest> parsed = parse_manifest(to_text(manifest), "m");
    return parsed ? std::string("accepted") : to_string(parsed.error());
  };
  EXPECT_EQ(message_after([](Manifest&) {}), "accepted");
  const auto contains = [&](const auto& change, const char* part) {
    const std::string message = message_after(change);
    EXPECT_NE(message.find(part), std::string::npos) << message;
  };
  contains([](Manifest& m) { m.files[0].name = "../escape.safetensors"; }, "plain file name");
  contains([](Manifest& m) { m.files[1].name = m.files[0].name; }, "each file once");
  contains([](Manifest& m) { m.files[0].content.digests.clear(); }, "digests");
  contains([](Manifest& m) { m.tensors.at("weight").slices[0].file = 9; }, "from 0 to");
  contains([](Manifest& m) { m.tensors.at("weight").slices.clear(); }, "cover all 30");
  contains([](Manifest& m) { m.tensors.at("weight").slices.push_back(m.tensors.at("weight").slices[0]); },
           "overlap");
  contains([](Manifest& m) { m.tensors.at("weight").slices[0].offset[3] = 1; }, "a slice inside 6x5");
  contains(
      [](Manifest& m) {
        m.tensors.at("weight").shape = {INT64_MAX, INT64_MAX, 1, 1};
      },
      "fewer than 2^63");
  contains([](Manifest& m) { m.facts.step = 2; }, "the ledger line's step");
}

TEST(CheckpointWriter, LeavesNothingBehindWhenTheDiskIsFull) {
  TemporaryFolder folder;
  Model().save(folder.path(), 1);
  std::vector<float> large(1 << 18);
  // A file size limit fails writes as a full disk does.
  ASSERT_NE(std::signal(SIGXFSZ, SIG_IGN), SIG_ERR);
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  rlimit small = before;
  small.rlim_cur = 1 << 16;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  std::string message = "written";
  try {
    CheckpointWriter writer(folder.path(), 2);
    writer.add("large", Tensor(large.data(), DType::f32, {1 << 18}));
    writer.finish(facts_of(2));
  } catch (const WorldFailed& failure) {
    message = failure.what();
  }
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_NE(message.find("File too large"), std::string::npos) << message;
  EXPECT_EQ(names_in(folder.path()), std::vector<std::string>{"step-00000001"});
  EXPECT_EQ(newest_good_checkpoint(folder.path()).checkpoint->facts().step, 1);
}

TEST(CheckpointWriter, SaysHowMuchSpaceIsMissingBeforeItWrites) {
  TemporaryFolder folder;
  float value = 0;
  CheckpointWriter writer(folder.path(), 2);
  Tensor huge(&value, DType::f32, {std::int64_t{1} << 55});  // never read: the check comes first
  writer.add("huge", huge);
  EXPECT_THROW(writer.finish(facts_of(2)), WorldFailed);
  EXPECT_TRUE(names_in(folder.path()).empty());
}

TEST(CheckpointWriter, ReplacesACheckpointOfTheSameStep) {
  TemporaryFolder folder;
  Model().save(folder.path(), 1);
  Model changed;
  changed.weight[7] = 100;
  const Checkpoint checkpoint = value_or_throw(open_checkpoint(changed.save(folder.path(), 1)));
  std::vector<float> weight(30);
  ASSERT_TRUE(checkpoint.load("weight", Tensor(weight.data(), DType::f32, {6, 5})));
  EXPECT_EQ(weight[7], 100);
  EXPECT_EQ(names_in(folder.path()).size(), 1u);
}

TEST(CheckpointStore, ListsWhatIsCompleteInOrderOfSteps) {
  TemporaryFolder folder;
  for (const std::int64_t step : {std::int64_t{900}, std::int64_t{123456789}, std::int64_t{5}}) {
    Model().save(folder.path(), step);
  }
  std::filesystem::create_directory(folder.path() / "step-00000007.tmp-1");
  std::filesystem::create_directory(folder.path() / "step-7");
  spill(folder.path() / "step-00000008", "a file");
  std::vector<std::int64_t> steps;
  for (const CheckpointEntry& entry : list_checkpoints(folder.path())) steps.push_back(entry.step);
  EXPECT_EQ(steps, (std::vector<std::int64_t>{5, 900, 123456789}));
  EXPECT_TRUE(list_checkpoints(folder.path() / "absent").empty());
}

TEST(CheckpointStore, PruningKeepsTheNewestAndNeverRemovesTheOnlyGoodOne) {
  TemporaryFolder folder;
  for (std::int64_t step = 1; step <= 5; ++step) Model().save(folder.path(), step);
  EXPECT_EQ(prune_checkpoints(folder.path(), 4), (std::vector<std::int64_t>{1}));
  for (const std::int64_t step : {3, 4, 5}) {
    spill(folder.path() / checkpoint_folder_name(step) / "shard-00001.safetensors", "damage");
  }
  EXPECT_EQ(prune_checkpoints(folder.path(), 1), (std::vector<std::int64_t>{3, 4}));
  EXPECT_EQ(names_in(folder.path()), (std::vector<std::string>{"step-00000002", "step-00000005"}));
}

TEST(CheckpointStore, PrunesNothingThatIsSpared) {
  TemporaryFolder folder;
  for (std::int64_t step = 1; step <= 7; ++step) Model().save(folder.path(), step);
  const auto even = [](std::int64_t step) { return step % 2 == 0; };
  EXPECT_EQ(prune_checkpoints(folder.path(), 2, even), (std::vector<std::int64_t>{1, 3, 5}));
}

TEST(CheckpointStore, RemovesUnfinishedFoldersOfDeadProcessesOnly) {
  TemporaryFolder folder;
  // Process 1 always lives; ids above the kernel's largest never do.
  for (const char* name : {"step-00000007.tmp-1", "step-00000007.tmp-99999999",
                           "step-00000008.tmp-99999999-replaced", "other.tmp-99999999"}) {
    std::filesystem::create_directory(folder.path() / name);
    spill(folder.path() / name / "half", "written");
  }
  EXPECT_EQ(remove_unfinished_checkpoints(folder.path()),
            (std::vector<std::string>{"step-00000007.tmp-99999999", "step-00000008.tmp-99999999-replaced"}));
  EXPECT_EQ(names_in(folder.path()), (std::vector<std::string>{"other.tmp-99999999", "step-00000007.tmp-1"}));
}

}  // namespace
}  // namespace megalith
