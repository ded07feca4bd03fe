// Communicator: what the ranks of one group can say to each other. There is no sum of floats: those are our
// own adds, in tree order, over what all_to_all brought (docs/numerics.md, P5). Integers may be summed by
// whoever carries them.
//
// Every rank of a group calls the same collectives with the same sizes in the same order. An operation begins
// at its call and its buffers belong to it until wait(); of operations under way any number may be waited for
// in any order. One thread per rank and communicator.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>

namespace megalith {

using Bytes = std::span<std::byte>;
using ConstBytes = std::span<const std::byte>;

// Another rank of the job is gone or gave up, so this operation will never end. what() names the rank.
class PeerFailed : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Of 64-bit integers: exact, and the same in any order.
enum class IntegerReduction : std::uint8_t {
  sum,      // mod 2^64
  maximum,  // of signed values
  bit_or,
};

class Communicator {
 public:
  // One operation under way. REQUIRES: wait() is called once for each.
  struct Request {
    std::uint32_t index = 0;
  };

  virtual ~Communicator() = default;
  [[nodiscard]] virtual int rank() const = 0;
  [[nodiscard]] virtual int size() const = 0;

  // `mine` of every rank, in rank order. all.size() is size() * mine.size(); mine may lie at its own place in
  // all.
  virtual Request all_gather(ConstBytes mine, Bytes all) = 0;
  // size() equal pieces: piece r of `from` goes to rank r, piece s of `to` came from rank s. No overlap.
  virtual Request all_to_all(ConstBytes from, Bytes to) = 0;
  virtual Request broadcast(Bytes data, int root) = 0;
  // In place.
  virtual Request all_reduce(std::span<std::int64_t> values, IntegerReduction reduction) = 0;
  // Sums mod 2^64: mine = part rank() of the sum over ranks of `all`, which has size() * mine.size() values.
  // mine may lie at its own place in all.
  virtual Request reduce_scatter(std::span<const std::int64_t> all, std::span<std::int64_t> mine) = 0;
  // Messages between two ranks arrive in the order in which they were sent; sizes agree.
  virtual Request send(ConstBytes data, int to) = 0;
  virtual Request receive(Bytes data, int from) = 0;

  // Returns when the operation's buffers are the caller's again. Throws PeerFailed.
  virtual void wait(Request request) = 0;

  // Collective: the ranks that name one colour become a group, numbered by (key, rank here). `name` is for
  // people: "tensor".
  virtual std::unique_ptr<Communicator> split(int colour, int key, const std::string& name) = 0;
  [[nodiscard]] virtual const std::string& name() const = 0;

  // An exception carries this rank away from operations under way: nothing of the whole job will end any
  // more. Returns when no other rank reads or writes this one's buffers, so they may go. Others' waits throw
  // PeerFailed as soon as it is known why this one left.
  virtual void abandon() noexcept = 0;
};

// A group of one, for programs and axes that are not parallel.
std::unique_ptr<Communicator> make_self_communicator(std::string name = "self");

}  // namespace megalith
