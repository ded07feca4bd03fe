// Checkpoints that several writers write together, each the boxes that it holds.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <numeric>
#include <optional>
#include <thread>

#include "core/philox.h"
#include "run/checkpoint_store.h"
#include "run/shared_texts.h"
#include "run/temporary_folder.h"

namespace megalith {
namespace {

using test::names_in;
using test::ProcessTexts;
using test::TemporaryFolder;
using test::ThreadTexts;

CheckpointFacts facts_of(std::int64_t step) {
  CheckpointFacts facts;
  facts.step = step;
  return facts;
}

using AddBoxes = std::function<void(int writer, CheckpointWriter&)>;

// What each writer's save returned or threw.
std::vector<std::string> save_together(const std::filesystem::path& checkpoints, std::int64_t step,
                                       int writers, const AddBoxes& add,
                                       std::uint64_t shard_bytes = 1 << 12) {
  ThreadTexts texts(writers);
  std::vector<std::string> ends(static_cast<std::size_t>(writers));
  std::vector<std::thread> threads;
  for (int w = 0; w < writers; ++w) {
    threads.emplace_back([&, w] {
      CheckpointWriter writer(
          checkpoints, step,
          {.shard_bytes = shard_bytes, .chunk_bytes = 1 << 10, .writer = w, .writers = writers});
      add(w, writer);
      std::string& end = ends[static_cast<std::size_t>(w)];
      try {
        end = writer.finish_together(facts_of(step), texts.of(w)).filename().string();
      } catch (const WorldFailed& failure) {
        end = failure.what();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return ends;
}

std::vector<float> ascending(std::int64_t count) {
  std::vector<float> values(static_cast<std::size_t>(count));
  std::iota(values.begin(), values.end(), 0.0f);
  return values;
}

TEST(SeveralWriters, EachWritesFilesOfItsOwnIntoOneCheckpoint) {
  TemporaryFolder folder;
  std::vector<float> values = ascending(24 * 10);
  const Tensor matrix(values.data(), DType::f32, {24, 10});
  const auto ends = save_together(folder.path(), 7, 3, [&](int w, CheckpointWriter& writer) {
    writer.add_slice("w", matrix.shape, {0, 0, 8 * w, 0}, matrix.row_slice(8 * w, 8));
    if (w == 1) writer.add("whole", matrix);
    if (w == 0) writer.add_file("tokenizer.json", "{}");
  });
  EXPECT_EQ(ends, std::vector<std::string>(3, "step-00000007"));
  EXPECT_EQ(
      names_in(folder.path() / "step-00000007"),
      (std::vector<std::string>{"manifest.json", "shard-000-00001.safetensors", "shard-001-00001.safetensors",
                                "shard-002-00001.safetensors", "tokenizer.json"}));
  EXPECT_TRUE(verify_checkpoint(folder.path() / "step-00000007"));
  const Checkpoint checkpoint = value_or_throw(open_checkpoint(folder.path() / "step-00000007"));
  for (const char* name : {"w", "whole"}) {
    std::vector<float> loaded(values.size());
    ASSERT_TRUE(checkpoint.load(name, Tensor(loaded.data(), DType::f32, {24, 10})));
    EXPECT_EQ(loaded, values) << name;
  }
}

TEST(SeveralWriters, AWriterMayHaveNothingToWrite) {
  TemporaryFolder folder;
  std::vector<float> values = ascending(8);
  const auto ends = save_together(folder.path(), 1, 2, [&](int w, CheckpointWriter& writer) {
    const Tensor whole(values.data(), DType::f32, {8});
    if (w == 0) writer.add("v", whole);
    writer.add_slice("v", whole.shape, {0, 0, 0, 8},
                     Tensor(values.data(), DType::f32, {0}));  // an empty share
  });
  EXPECT_EQ(ends, std::vector<std::string>(2, "step-00000001"));
  EXPECT_EQ(names_in(folder.path() / "step-00000001").size(), 2U);
}

TEST(SeveralWriters, BoxesThatOverlapLeaveHolesOrDisagreeAreRefusedByAll) {
  std::vector<float> values = ascending(100);
  const Extents shape{1, 1, 10, 10};
  const auto rows = [&](CheckpointWriter& writer, std::int64_t first, std::int64_t count) {
    writer.add_slice("w", shape, {0, 0, first, 0}, Tensor(values.data(), DType::f32, {count, 10}));
  };
  const std::pair<const char*, AddBoxes> cases[] = {
      {"slices that do not overlap",
       [&](int w, CheckpointWriter& writer) { w == 0 ? rows(writer, 0, 6) : rows(writer, 5, 5); }},
      {"cover all 100 elements, not 90",
       [&](int w, CheckpointWriter& writer) { w == 0 ? rows(writer, 0, 5) : rows(writer, 6, 4); }},
      {"f32 10x10, as other writers say",
       [&](int w, CheckpointWriter& writer) {
         if (w == 0) return rows(writer, 0, 5);
         writer.add_slice("w", {1, 1, 10, 11}, {0, 0, 5, 0}, Tensor(values.data(), DType::f32, {5, 11}));
       }},
      {"each file once", [&](int, CheckpointWriter& writer) { writer.add_file("notes.txt", "mine"); }},
  };
  for (const auto& [problem, add] : cases) {
    TemporaryFolder folder;
    const auto ends = save_together(folder.path(), 3, 2, add);
    for (const std::string& end : ends) EXPECT_NE(end.find(problem), std::string::npos) << end;
    EXPECT_TRUE(names_in(folder.path()).empty());
  }
}

TEST(SeveralWriters, TheFreeSpaceIsCheckedForTheSum) {
  TemporaryFolder folder;
  float value = 0;
  const std::filesystem::space_info space = std::filesystem::space(folder.path());
  // Each half would fit; never read, as the check comes first.
  const auto half = static_cast<std::int64_t>(space.available / sizeof(float) * 6 / 10);
  const auto ends = save_together(folder.path(), 3, 2, [&](int w, CheckpointWriter& writer) {
    writer.add(fmt::format("huge{}", w), Tensor(&value, DType::f32, {half}));
  });
  for (const std::string& end : ends) {
    EXPECT_NE(end.find("writer 0"), std::string::npos) << end;
    EXPECT_NE(end.find("free"), std::string::npos) << end;
  }
  EXPECT_TRUE(names_in(folder.path()).empty());
}

// Runs one process per writer and returns their pids; body's return value is the exit code.
std::vector<pid_t> fork_writers(int writers, const std::function<int(int writer)>& body) {
  std::vector<pid_t> children;
  for (int w = 0; w < writers; ++w) {
    const pid_t child = fork();
    if (child == 0) _exit(body(w));
    children.push_back(child);
  }
  return children;
}

TEST(SeveralWriters, ADiskThatIsFullForOneFailsAllAndLeavesNothing) {
  TemporaryFolder folder;
  ProcessTexts texts(3);
  std::vector<float> values = ascending(1 << 16);
  const std::vector<pid_t> children = fork_writers(3, [&](int w) {
    if (w == 2) {  // a file size limit fails writes as a full disk does
      std::signal(SIGXFSZ, SIG_IGN);
      rlimit small{1 << 14, 1 << 14};
      setrlimit(RLIMIT_FSIZE, &small);
    }
    try {
      CheckpointWriter writer(folder.path(), 3, {.writer = w, .writers = 3});
      writer.add(fmt::format("t{}", w), Tensor(values.data(), DType::f32, {1 << 16}));
      writer.finish_together(facts_of(3), texts.of(w));
    } catch (const WorldFailed& failure) {
      const std::string message = failure.what();
      return message.find("writer 2: ") == 0 && message.find("File too large") != std::string::npos ? 7 : 8;
    }
    return 9;
  });
  for (const pid_t child : children) {
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(WEXITSTATUS(status), 7);
  }
  EXPECT_TRUE(names_in(folder.path()).empty());
}

// Saves step after step, from where the folder stands; each writer holds a third of every tensor.
int save_forever(const std::filesystem::path& checkpoints, int w, const GatherTexts& gather) {
  std::vector<float> values = ascending(3 << 12);
  const Tensor whole(values.data(), DType::f32, {3, 1 << 12});
  const NewestGood newest = newest_good_checkpoint(checkpoints);
  gather("");  // nobody writes before all have read
  for (std::int64_t step = newest.checkpoint ? newest.checkpoint->facts().step + 1 : 1;; ++step) {
    CheckpointWriter writer(checkpoints, step,
                            {.shard_bytes = 1 << 14, .chunk_bytes = 1 << 12, .writer = w, .writers = 3});
    for (int t = 0; t < 3; ++t)
      writer.add_slice(fmt::format("t{}", t), whole.shape, {0, 0, w, 0}, whole.row_slice(w, 1));
    writer.finish_together(facts_of(step), gather);
    if (w == 0) prune_checkpoints(checkpoints, 2);
  }
}

TEST(SeveralWriters, AnyOneKilledAtAnyMomentLeavesTheLastGoodCheckpoint) {
  TemporaryFolder folder;
  std::int64_t reached = 0;
  int leftovers = 0;
  for (int round = 0; round < 15 || (reached == 0 && round < 200); ++round) {
    ProcessTexts texts(3);
    const std::vector<pid_t> children =
        fork_writers(3, [&](int w) { return save_forever(folder.path(), w, texts.of(w)); });
    usleep(static_cast<useconds_t>(5000 + 7919 * round));
    kill(children[static_cast<std::size_t>(round % 3)], SIGKILL);  // its peers hang in the next exchange
    usleep(2000);
    for (const pid_t child : children) kill(child, SIGKILL);
    for (const pid_t child : children) {
      int status = 0;
      ASSERT_EQ(waitpid(child, &status, 0), child);
      ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << "it ended by itself";
    }
    leftovers += static_cast<int>(remove_unfinished_checkpoints(folder.path()).size());
    for (const std::string& name : names_in(folder.path())) {
      EXPECT_TRUE(step_of_folder_name(name)) << name;
      const Expected<void> sound = verify_checkpoint(folder.path() / name);
      EXPECT_TRUE(sound) << to_string(sound.error());
    }
    const NewestGood newest = newest_good_checkpoint(folder.path());
    const std::int64_t step = newest.checkpoint ? newest.checkpoint->facts().step : 0;
    EXPECT_GE(step, reached) << "progress that was reported is never lost";
    reached = step;
  }
  EXPECT_GT(reached, 0);
  EXPECT_GT(leftovers, 0) << "no save was cut short: the test did not try what it is for";
}

// A matrix cut into boxes by random cuts of its rows and, in each, of its columns.
struct RandomCuts {
  explicit RandomCuts(std::uint64_t seed) : seed_(seed) {}

  std::int64_t below(std::int64_t bound) {
    const auto draw = philox({static_cast<std::uint32_t>(count_++), 0, 0, 0}, philox_key(seed_))[0];
    return static_cast<std::int64_t>(draw % static_cast<std::uint64_t>(bound));
  }
  // Ends of consecutive stretches of `length`.
  std::vector<std::int64_t> ends(std::int64_t length) {
    std::vector<std::int64_t> ends;
    for (std::int64_t at = 0; at < length;) ends.push_back(at += 1 + below(length - at));
    return ends;
  }

 private:
  std::uint64_t seed_;
  std::int64_t count_ = 0;
};

TEST(SeveralWriters, AnyBoxIsLoadedFromAnyCutIntoAnyStride) {
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    TemporaryFolder folder;
    RandomCuts random(seed);
    const std::int64_t rows = 1 + random.below(40);
    const std::int64_t columns = 1 + random.below(40);
    std::vector<float> values = ascending(rows * columns);
    const Tensor matrix(values.data(), DType::f32, {rows, columns});
    const int writers = static_cast<int>(1 + random.below(4));
    std::vector<std::pair<Extents, Tensor>> boxes;
    std::int64_t row = 0;
    for (const std::int64_t row_end : random.ends(rows)) {
      std::int64_t column = 0;
      for (const std::int64_t column_end : random.ends(columns)) {
        boxes.push_back({{0, 0, row, column},
                         matrix.row_slice(row, row_end - row).column_slice(column, column_end - column)});
        column = column_end;
      }
      row = row_end;
    }
    std::vector<int> owners;
    for (std::size_t b = 0; b < boxes.size(); ++b) owners.push_back(static_cast<int>(random.below(writers)));
    const auto ends = save_together(folder.path(), 1, writers, [&](int w, CheckpointWriter& writer) {
      for (std::size_t b = 0; b < boxes.size(); ++b) {
        if (owners[b] == w) writer.add_slice("w", matrix.shape, boxes[b].first, boxes[b].second);
      }
    });
    ASSERT_EQ(ends, std::vector<std::string>(static_cast<std::size_t>(writers), "step-00000001")) << seed;
    const Checkpoint checkpoint = value_or_throw(open_checkpoint(folder.path() / "step-00000001"));
    for (int load = 0; load < 20; ++load) {
      const std::int64_t first_row = random.below(rows);
      const std::int64_t first_column = random.below(columns);
      const std::int64_t height = 1 + random.below(rows - first_row);
      const std::int64_t width = 1 + random.below(columns - first_column);
      const std::int64_t stride = width + random.below(5);
      std::vector<float> room(static_cast<std::size_t>(height * stride), -1.0f);
      Tensor box(room.data(), DType::f32, {height, width});
      box.row_stride = stride;
      ASSERT_TRUE(checkpoint.load_slice("w", {0, 0, first_row, first_column}, box));
      for (std::int64_t r = 0; r < height; ++r) {
        for (std::int64_t c = 0; c < stride; ++c) {
          const float expected =
              c < width ? values[static_cast<std::size_t>((first_row + r) * columns + first_column + c)]
                        : -1.0f;
          ASSERT_EQ(room[static_cast<std::size_t>(r * stride + c)], expected) << seed;
        }
      }
    }
  }
}

// Bytes of a file's map that this process has touched: from the kernel's own books.
std::uint64_t resident_bytes(const std::filesystem::path& file) {
  std::ifstream maps("/proc/self/smaps");
  std::uint64_t bytes = 0;
  bool inside = false;
  for (std::string line; std::getline(maps, line);) {
    if (line.find('-') != std::string::npos && line.find(' ') != std::string::npos &&
        line.find(':') > line.find(' ')) {
      inside = line.ends_with(file.string());
    } else if (inside && line.starts_with("Rss:")) {
      bytes += std::stoull(line.substr(4)) * 1024;
    }
  }
  return bytes;
}

TEST(SeveralWriters, AReaderTouchesOnlyWhatItNeeds) {
  TemporaryFolder folder;
  constexpr std::int64_t kRows = 4096;
  constexpr std::int64_t kColumns = 4096;
  constexpr std::uint64_t kRowBytes = kColumns * sizeof(float);
  std::vector<float> values = ascending(kRows * kColumns);  // 64 MiB
  const Tensor matrix(values.data(), DType::f32, {kRows, kColumns});
  const auto ends = save_together(
      folder.path(), 1, 2,
      [&](int w, CheckpointWriter& writer) {
        writer.add_slice("w", matrix.shape, {0, 0, w * kRows / 2, 0},
                         matrix.row_slice(w * kRows / 2, kRows / 2));
      },
      std::uint64_t{1} << 30);
  ASSERT_EQ(ends.front(), "step-00000001");
  const std::filesystem::path saved = folder.path() / "step-00000001";
  const Checkpoint checkpoint = value_or_throw(open_checkpoint(saved));
  const std::filesystem::path first = saved / "shard-000-00001.safetensors";
  const std::filesystem::path second = saved / "shard-001-00001.safetensors";
  std::vector<float> room(64 * kColumns);
  ASSERT_TRUE(checkpoint.load_slice("w", {0, 0, 128, 0}, Tensor(room.data(), DType::f32, {64, kColumns})));
  EXPECT_EQ(room.front(), static_cast<float>(128 * kColumns));
  // The kernel maps some of what lies around a touched page, up to a huge one; the header's chunk was read,
  // too.
  constexpr std::uint64_t kAround = std::uint64_t{4} << 20;
  EXPECT_GE(resident_bytes(first), 64 * kRowBytes) << "the books cannot be read";
  EXPECT_LE(resident_bytes(first), 64 * kRowBytes + kAround);
  EXPECT_LE(resident_bytes(second), kAround) << "nothing of it was needed";
}

}  // namespace
}  // namespace megalith
