// The ring of collectives a rank entered: a file of fixed size that is mapped and written in place, so that
// it says what the rank did last whatever became of the process.
//
//   offset 0       RingHeader
//   offset 4096    RingRecord[capacity], record n at place n mod capacity
//
// Numbers are little-endian. Times are nanoseconds of the system clock, which ranks of one machine share.
#pragma once

#include <cstddef>
#include <cstdint>

namespace megalith {

inline constexpr char kRingMagic[8] = {'M', 'G', 'L', 'C', 'O', 'L', 'L', '1'};
inline constexpr std::size_t kRingHeaderBytes = 4096;
inline constexpr std::uint64_t kRingCapacity = 1024;
inline constexpr std::size_t kRingNames = 32;
inline constexpr std::size_t kRingNameBytes = 24;  // with at least one zero at the end

struct RingGroup {
  char name[kRingNameBytes];
  std::int32_t rank;  // of the writer, in the group
  std::int32_t size;
};

struct RingHeader {
  char magic[8];
  std::uint64_t capacity;
  std::int32_t rank;
  std::int32_t ranks;
  std::int64_t process;
  char host[64];
  std::uint64_t entered;  // operations since the file was made; the last is number entered - 1
  std::uint64_t groups;   // of which the first kRingNames are told
  RingGroup group[kRingNames];
};
static_assert(sizeof(RingHeader) <= kRingHeaderBytes);

struct RingRecord {
  std::uint64_t ordinal;  // which operation of the file this is
  std::uint64_t number;   // which of its communicator
  std::uint64_t bytes;
  std::int64_t entered;  // when it was posted
  std::int64_t waiting;  // when its wait began; 0 before
  std::int64_t left;     // when its wait was over; 0 before
  std::int32_t group;
  std::int32_t peer;
  std::uint32_t kind;
  std::uint32_t unused;
};
static_assert(sizeof(RingRecord) == 64);

inline constexpr std::size_t kRingFileBytes = kRingHeaderBytes + kRingCapacity * sizeof(RingRecord);

}  // namespace megalith
