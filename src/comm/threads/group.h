// Group: what the thread communicators of one set of ranks share.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "comm/threads/channel.h"

namespace megalith {

class Group {
 public:
  // `ranks` are places in the job, in the order of their ranks in the group.
  Group(Job& job, std::vector<int> ranks, std::string name);

  [[nodiscard]] Job& job() { return job_; }
  [[nodiscard]] const std::vector<int>& ranks() const { return ranks_; }
  [[nodiscard]] const std::string& name() const { return name_; }
  Channel& collectives() { return collectives_; }
  // Made when first used: most pairs never talk.
  Channel& messages(int from, int to);
  // The group that the members of this one with that colour form at its `count`th split. The first to ask
  // makes it.
  std::shared_ptr<Group> child(int count, int colour, const std::vector<int>& members,
                               const std::string& name);

 private:
  struct Child {
    std::shared_ptr<Group> group;
    std::size_t takers = 0;
  };

  Job& job_;
  std::vector<int> ranks_;
  std::string name_;
  Channel collectives_;
  std::mutex mutex_;  // of what follows
  std::vector<std::unique_ptr<Channel>> messages_;
  std::map<std::pair<int, int>, Child> children_;  // by count and colour, until every member took its share
};

std::unique_ptr<Communicator> make_thread_communicator(std::shared_ptr<Group> group, int rank);

}  // namespace megalith
