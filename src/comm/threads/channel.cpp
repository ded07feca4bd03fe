#include "comm/threads/channel.h"

#include <utility>

#include "core/error.h"

namespace megalith {
namespace {

// What moves less is done at once by the last to post: waking a helper takes longer.
constexpr std::size_t kAtOnceBytes = 64 * 1024;

std::string describe(const Call& call) {
  return fmt::format("{} of {} bytes (root {}, reduction {})", name_of(call.kind), call.bytes, call.root,
                     static_cast<int>(call.reduction));
}

}  // namespace

Channel::Channel(Job& job, std::vector<int> ranks, std::string name)
    : job_(job), ranks_(std::move(ranks)), name_(std::move(name)), next_(ranks_.size(), 0) {}

void Channel::make_room(std::uint64_t number) {
  const std::size_t old_size = ring_.size();
  if (number - first_ < old_size) return;
  std::vector<std::unique_ptr<Operation>> grown(old_size == 0 ? 2 : 2 * old_size);
  for (std::size_t i = 0; i < old_size; ++i) {
    const std::uint64_t old = first_ + i;
    grown[old & (grown.size() - 1)] = std::move(ring_[old & (old_size - 1)]);
  }
  for (std::unique_ptr<Operation>& place : grown) {
    if (place) continue;
    place = std::make_unique<Operation>();
    place->memory.resize(ranks_.size());
    place->posted.assign(ranks_.size(), false);
  }
  ring_ = std::move(grown);
}

void Channel::check_agreement(const Operation& operation, int party, const Call& call,
                              std::uint64_t number) const {
  MEGALITH_CHECK(operation.num_posted == 0 || operation.call == call,
                 "operation {} of {}: rank {} says {}, another said {}", number, name_,
                 ranks_[static_cast<std::size_t>(party)], describe(call), describe(operation.call));
}

void Channel::retire() {
  while (!ring_.empty() && at(first_).done && at(first_).helpers == 0) {
    Operation& operation = at(first_);
    operation.posted.assign(ranks_.size(), false);
    operation.num_posted = 0;
    operation.done = false;
    ++first_;
  }
}

int Channel::deserter(const Operation& operation) const {
  for (std::size_t party = 0; party < ranks_.size(); ++party) {
    if (!operation.posted[party] && job_.has_left(ranks_[party])) return ranks_[party];
  }
  return -1;
}

std::uint64_t Channel::post(int party, const Call& call, PartyMemory memory) {
  if (job_.failed()) job_.throw_failure(ranks_[static_cast<std::size_t>(party)]);
  const auto index = static_cast<std::size_t>(party);
  Operation* operation = nullptr;
  std::uint64_t number = 0;
  bool at_once = false;
  bool done = false;
  {
    const std::lock_guard lock(mutex_);
    number = next_[index]++;
    make_room(number);
    operation = &at(number);
    check_agreement(*operation, party, call, number);
    operation->call = call;
    operation->memory[index] = memory;
    operation->posted[index] = true;
    if (++operation->num_posted < ranks_.size()) return number;
    operation->pieces = num_pieces(call, ranks_.size());
    operation->next_piece.store(0);
    operation->pieces_left.store(operation->pieces);
    done = operation->done = operation->pieces == 0;
    at_once = bytes_moved(call, ranks_.size()) <= kAtOnceBytes;
    if (at_once) ++operation->helpers;
  }
  if (at_once) {
    help(*operation, party);
    const std::lock_guard lock(mutex_);
    --operation->helpers;
    retire();
  }
  // Whoever did the last piece has told the others already.
  if (!at_once || done) ring_others(party);
  return number;
}

void Channel::wait(int party, std::uint64_t number) {
  const int rank = ranks_[static_cast<std::size_t>(party)];
  Doorbell& bell = job_.bell(rank);
  while (true) {
    const std::uint32_t seen = bell.rings();
    Operation* operation = nullptr;
    int missing = -1;
    {
      const std::lock_guard lock(mutex_);
      if (number < first_ || at(number).done) return;
      missing = deserter(at(number));
      if (at(number).num_posted == ranks_.size()) {
        operation = &at(number);
        ++operation->helpers;
      }
    }
    if (operation != nullptr) {
      help(*operation, party);
      const std::lock_guard lock(mutex_);
      --operation->helpers;
      const bool done = operation->done;
      retire();
      if (done) return;
    } else if (missing >= 0) {
      job_.fail(missing, fmt::format("rank {} ended while others still counted on it ({})", missing, name_));
    }
    if (job_.failed()) job_.throw_failure(rank);
    if (bell.rings_soon(seen, job_.spins())) continue;
    Awaited awaited(*this, rank, number);
    job_.sleep(rank, seen, awaited);
  }
}

bool Channel::Awaited::can_end() {
  const std::lock_guard lock(channel_.mutex_);
  return number_ < channel_.first_ || channel_.at(number_).num_posted == channel_.ranks_.size();
}

std::string Channel::Awaited::describe() {
  const std::lock_guard lock(channel_.mutex_);
  const Operation& operation = channel_.at(number_);
  std::string missing;
  for (std::size_t party = 0; party < channel_.ranks_.size(); ++party) {
    if (operation.posted[party]) continue;
    missing += fmt::format("{}rank {}", missing.empty() ? "" : ", ", channel_.ranks_[party]);
  }
  const char* what = operation.call.kind == OperationKind::send ? "a message" : name_of(operation.call.kind);
  return fmt::format("rank {} for {} ({}, {})", rank_, missing, what, channel_.name_);
}

void Channel::help(Operation& operation, int party) {
  while (true) {
    const std::int64_t piece = operation.next_piece.fetch_add(1);
    if (piece >= operation.pieces || !job_.begin_copy()) return;
    move_piece(operation.call, operation.memory, piece);
    job_.end_copy();
    if (operation.pieces_left.fetch_sub(1) > 1) continue;
    {
      const std::lock_guard lock(mutex_);
      operation.done = true;
    }
    ring_others(party);
    return;
  }
}

void Channel::ring_others(int party) {
  for (std::size_t other = 0; other < ranks_.size(); ++other) {
    if (other != static_cast<std::size_t>(party)) job_.bell(ranks_[other]).ring();
  }
}

}  // namespace megalith
