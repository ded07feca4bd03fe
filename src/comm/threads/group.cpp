#include "comm/threads/group.h"

namespace megalith {

Group::Group(Job& job, std::vector<int> ranks, std::string name)
    : job_(job),
      ranks_(std::move(ranks)),
      name_(std::move(name)),
      collectives_(job, ranks_, name_),
      messages_(ranks_.size() * ranks_.size()) {}

Channel& Group::messages(int from, int to) {
  const auto sender = static_cast<std::size_t>(from);
  const auto receiver = static_cast<std::size_t>(to);
  const std::lock_guard lock(mutex_);
  std::unique_ptr<Channel>& channel = messages_[sender * ranks_.size() + receiver];
  if (!channel) {
    channel = std::make_unique<Channel>(job_, std::vector<int>{ranks_[sender], ranks_[receiver]}, name_);
  }
  return *channel;
}

std::shared_ptr<Group> Group::child(int count, int colour, const std::vector<int>& members,
                                    const std::string& name) {
  const std::lock_guard lock(mutex_);
  const std::pair key(count, colour);
  Child& child = children_[key];
  if (!child.group) {
    std::vector<int> ranks;
    for (const int member : members) ranks.push_back(ranks_[static_cast<std::size_t>(member)]);
    child.group = std::make_shared<Group>(job_, std::move(ranks), name);
  }
  std::shared_ptr<Group> group = child.group;
  if (++child.takers == members.size()) children_.erase(key);
  return group;
}

}  // namespace megalith
