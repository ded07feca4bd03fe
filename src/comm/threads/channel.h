// Channel: the operations that a fixed set of ranks post to each other, each in the same order: the
// collectives of a group, or the messages from one rank to another.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "comm/threads/job.h"
#include "comm/threads/transfer.h"

namespace megalith {

class Channel {
 public:
  // `ranks` are places in the job; a party is an index into them. `name` is for people.
  Channel(Job& job, std::vector<int> ranks, std::string name);

  // The party's next operation; never waits for anybody. Returns its number.
  std::uint64_t post(int party, const Call& call, PartyMemory memory);
  // Returns when that operation is done. Throws PeerFailed.
  void wait(int party, std::uint64_t number);

 private:
  struct Operation {
    Call call;
    std::vector<PartyMemory> memory;
    std::vector<bool> posted;
    std::size_t num_posted = 0;
    int helpers = 0;  // threads at work on it: it stays where it is as long
    bool done = false;
    std::atomic<std::int64_t> next_piece{0};
    std::atomic<std::int64_t> pieces_left{0};
    std::int64_t pieces = 0;
  };

  // One party's operation, for the job to look at.
  class Awaited final : public AwaitedOperation {
   public:
    Awaited(Channel& channel, int rank, std::uint64_t number)
        : channel_(channel), rank_(rank), number_(number) {}
    [[nodiscard]] bool can_end() override;
    [[nodiscard]] std::string describe() override;

   private:
    Channel& channel_;
    int rank_;
    std::uint64_t number_;
  };

  // Each of these REQUIRES the mutex.
  Operation& at(std::uint64_t number) { return *ring_[number & (ring_.size() - 1)]; }
  void make_room(std::uint64_t number);
  void check_agreement(const Operation& operation, int party, const Call& call, std::uint64_t number) const;
  void retire();
  // A party that will never post the operation, or -1.
  [[nodiscard]] int deserter(const Operation& operation) const;

  // Without the mutex: does pieces until none is left, or the job has failed.
  void help(Operation& operation, int party);
  void ring_others(int party);

  Job& job_;
  std::vector<int> ranks_;
  std::string name_;
  std::mutex mutex_;
  std::vector<std::uint64_t> next_;  // by party, the number of its next operation
  std::uint64_t first_ = 0;          // all before are done and forgotten
  // A power of two of places; operation n stands at n mod size. Grows to the most that were ever under way.
  std::vector<std::unique_ptr<Operation>> ring_;
};

}  // namespace megalith
