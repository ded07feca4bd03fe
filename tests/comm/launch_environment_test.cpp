#include "comm/launch_environment.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "comm/host.h"
#include "comm/threads/threads.h"
#include "core/thread_pool.h"

namespace megalith {
namespace {

std::map<std::string, std::string> environment;

Expected<LaunchEnvironment> launched(std::map<std::string, std::string> variables) {
  environment = std::move(variables);
  return launch_environment([](const char* name) -> const char* {
    const auto found = environment.find(name);
    return found == environment.end() ? nullptr : found->second.c_str();
  });
}

TEST(LaunchEnvironment, IsEmptyForAProgramStartedAlone) {
  EXPECT_EQ(launched({})->launcher, "");
  EXPECT_EQ(launched({})->ranks, 1);
}

TEST(LaunchEnvironment, KnowsMpirun) {
  const auto launch =
      launched({{"OMPI_COMM_WORLD_SIZE", "4"}, {"OMPI_COMM_WORLD_RANK", "3"}, {"PMIX_RANK", "3"}});
  EXPECT_EQ(launch->launcher, "mpirun");
  EXPECT_EQ(launch->rank, 3);
  EXPECT_EQ(launch->ranks, 4);
}

TEST(LaunchEnvironment, KnowsSrunWithPmix) {
  const auto launch = launched({{"SLURM_STEP_NUM_TASKS", "8"}, {"PMIX_RANK", "5"}});
  EXPECT_EQ(launch->launcher, "srun");
  EXPECT_EQ(launch->rank, 5);
  EXPECT_EQ(launch->ranks, 8);
}

TEST(LaunchEnvironment, RefusesSrunWithoutPmix) {
  const auto launch = launched({{"SLURM_STEP_NUM_TASKS", "8"}, {"SLURM_PROCID", "5"}});
  ASSERT_FALSE(launch);
  EXPECT_NE(to_string(launch.error()).find("--mpi=pmix"), std::string::npos);
}

TEST(LaunchEnvironment, TakesABatchScriptForNoRank) {
  EXPECT_EQ(launched({{"SLURM_NTASKS", "8"}, {"SLURM_PROCID", "0"}})->launcher, "");
}

TEST(Host, IsSharedByTheRanksOfOneProcess) {
  run_ranks(3, [](Communicator& world) {
    const HostShare share = share_of_host(world);
    EXPECT_EQ(share.ranks, 3);
    EXPECT_EQ(share.processors, usable_processors());
  });
}

}  // namespace
}  // namespace megalith
