#include <algorithm>
#include <utility>

#include "comm/split.h"
#include "comm/threads/group.h"
#include "core/error.h"

namespace megalith {
namespace {

class ThreadCommunicator final : public Communicator {
 public:
  ThreadCommunicator(std::shared_ptr<Group> group, int rank) : group_(std::move(group)), rank_(rank) {}
  ThreadCommunicator(const ThreadCommunicator&) = delete;
  ThreadCommunicator& operator=(const ThreadCommunicator&) = delete;

  // Operations are left behind only on the way out of an exception: buffers that outlive this are next to go,
  // so nobody may touch them.
  ~ThreadCommunicator() override {
    if (under_way_.size() != free_.size()) abandon();
  }

  [[nodiscard]] int rank() const override { return rank_; }
  [[nodiscard]] int size() const override { return static_cast<int>(group_->ranks().size()); }
  [[nodiscard]] const std::string& name() const override { return group_->name(); }
  void abandon() noexcept override {
    group_->job().abandon(group_->ranks()[static_cast<std::size_t>(rank_)]);
  }

  Request all_gather(ConstBytes mine, Bytes all) override {
    check_parts(mine.size(), all.size());
    return collective({.kind = OperationKind::all_gather, .bytes = mine.size()}, mine.data(), all.data());
  }
  Request all_to_all(ConstBytes from, Bytes to) override {
    MEGALITH_CHECK(from.size() == to.size(), "{} bytes to {}", from.size(), to.size());
    const std::size_t part = from.size() / group_->ranks().size();
    check_parts(part, to.size());
    return collective({.kind = OperationKind::all_to_all, .bytes = part}, from.data(), to.data());
  }
  Request broadcast(Bytes data, int root) override {
    check_rank(root);
    const Call call = {.kind = OperationKind::broadcast, .root = root, .bytes = data.size()};
    return collective(call, data.data(), data.data());
  }
  Request all_reduce(std::span<std::int64_t> values, IntegerReduction reduction) override {
    const Bytes bytes = std::as_writable_bytes(values);
    const Call call = {.kind = OperationKind::all_reduce, .reduction = reduction, .bytes = bytes.size()};
    return collective(call, bytes.data(), bytes.data());
  }
  Request reduce_scatter(std::span<const std::int64_t> all, std::span<std::int64_t> mine) override {
    check_parts(mine.size(), all.size());
    const Call call = {.kind = OperationKind::reduce_scatter, .bytes = mine.size_bytes()};
    return collective(call, std::as_bytes(all).data(), std::as_writable_bytes(mine).data());
  }
  Request send(ConstBytes data, int to) override {
    check_rank(to);
    MEGALITH_CHECK(to != rank_, "rank {} sends to itself", rank_);
    return post(group_->messages(rank_, to), 0, {.bytes = data.size()}, {.from = data.data()});
  }
  Request receive(Bytes data, int from) override {
    check_rank(from);
    MEGALITH_CHECK(from != rank_, "rank {} receives from itself", rank_);
    return post(group_->messages(from, rank_), 1, {.bytes = data.size()}, {.to = data.data()});
  }

  void wait(Request request) override {
    MEGALITH_CHECK(request.index < under_way_.size() && under_way_[request.index].channel != nullptr,
                   "a request of {} is waited for twice", name());
    const Entry entry = under_way_[request.index];
    entry.channel->wait(entry.party, entry.number);
    under_way_[request.index].channel = nullptr;
    free_.push_back(request.index);
  }

  std::unique_ptr<Communicator> split(int colour, int key, const std::string& child_name) override {
    const SplitChoice mine = {colour, key};
    std::vector<SplitChoice> all(group_->ranks().size());
    wait(all_gather(std::as_bytes(std::span(&mine, 1)), std::as_writable_bytes(std::span(all))));
    const std::vector<int> members = members_of(all, colour);
    const auto place = std::find(members.begin(), members.end(), rank_) - members.begin();
    return make_thread_communicator(group_->child(splits_++, colour, members, child_name),
                                    static_cast<int>(place));
  }

 private:
  struct Entry {
    Channel* channel = nullptr;  // null: free
    int party = 0;
    std::uint64_t number = 0;
  };

  void check_parts(std::size_t part, std::size_t all) const {
    MEGALITH_CHECK(part * group_->ranks().size() == all, "{} parts of {} bytes are not {}", size(), part,
                   all);
  }
  void check_rank(int rank) const {
    MEGALITH_CHECK(rank >= 0 && rank < size(), "rank {} of {}", rank, size());
  }

  Request collective(const Call& call, const std::byte* from, std::byte* to) {
    return post(group_->collectives(), rank_, call, {from, to});
  }
  Request post(Channel& channel, int party, const Call& call, PartyMemory memory) {
    if (free_.empty()) {
      free_.push_back(static_cast<std::uint32_t>(under_way_.size()));
      under_way_.emplace_back();
      free_.reserve(under_way_.capacity());
    }
    const Entry entry = {&channel, party, channel.post(party, call, memory)};
    const std::uint32_t index = free_.back();
    free_.pop_back();
    under_way_[index] = entry;
    return {index};
  }

  std::shared_ptr<Group> group_;
  int rank_;
  int splits_ = 0;
  std::vector<Entry> under_way_;
  std::vector<std::uint32_t> free_;  // places in under_way_
};

}  // namespace

std::unique_ptr<Communicator> make_thread_communicator(std::shared_ptr<Group> group, int rank) {
  return std::make_unique<ThreadCommunicator>(std::move(group), rank);
}

}  // namespace megalith
