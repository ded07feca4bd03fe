#include "device/cuda/emulated_machine.h"

#include <ucontext.h>

#include <bit>
#include <cstring>
#include <deque>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/floating_point_mode.h"

namespace megalith::test {
namespace {

constexpr std::size_t kStackBytes = 128 * 1024;
constexpr int kWarp = 32;
constexpr int kGroup = 16;

struct Copy {
  void* to;
  const void* from;
};

struct Fibre {
  ucontext_t context{};
  std::unique_ptr<char[]> stack{new char[kStackBytes]};
  bool done = false;
  std::deque<std::vector<Copy>> groups;  // committed, oldest first
  std::vector<Copy> open;                // of the group that is not closed yet
};

// Threads that wait for each other: a block, a warp or a group of sixteen.
struct Barrier {
  int members = 0;
  int arrived = 0;
  std::uint64_t generation = 0;
};

struct Block {
  EmulatedGrid grid;
  std::int64_t x = 0, y = 0, z = 0;
  std::vector<Fibre> fibres;
  std::vector<std::byte> shared;
  Barrier all;
  std::vector<Barrier> warps, groups;
  std::vector<std::array<std::uint32_t, 10>> slots;  // what a thread shows to its warp or group
  std::vector<const bf16*> rows;                     // of ldmatrix
  int current = 0;
  bool moved = false;  // some fibre got further in this round
  ucontext_t scheduler{};
  const std::function<void()>* kernel = nullptr;
  std::exception_ptr failure;
};

Block* block = nullptr;

void yield() {
  swapcontext(&block->fibres[static_cast<std::size_t>(block->current)].context, &block->scheduler);
}

void arrive(Barrier& barrier) {
  block->moved = true;
  if (++barrier.arrived == barrier.members) {
    barrier.arrived = 0;
    ++barrier.generation;
    return;
  }
  const std::uint64_t mine = barrier.generation;
  while (barrier.generation == mine) yield();
  block->moved = true;
}

void start_fibre() {
  try {
    (*block->kernel)();
  } catch (...) {
    block->failure = std::current_exception();
  }
  block->fibres[static_cast<std::size_t>(block->current)].done = true;
  block->moved = true;
  yield();
}

void require(bool condition, const char* what) {
  if (!condition) throw std::logic_error(std::string("emulated kernel: ") + what);
}

// Makes a barrier per `size` threads; the last may be smaller.
std::vector<Barrier> barriers(int threads, int size) {
  std::vector<Barrier> result;
  for (int first = 0; first < threads; first += size)
    result.push_back({.members = std::min(size, threads - first)});
  return result;
}

void prepare(Block& b) {
  const auto threads = static_cast<std::size_t>(b.grid.threads);
  b.shared.assign(b.grid.shared_bytes + 16, std::byte{0xff});  // NaN in every float type
  b.all = {.members = b.grid.threads};
  b.warps = barriers(b.grid.threads, kWarp);
  b.groups = barriers(b.grid.threads, kGroup);
  b.slots.assign(threads, {});
  b.rows.assign(threads, nullptr);
  for (Fibre& fibre : b.fibres) {
    fibre.done = false;
    fibre.groups.clear();
    fibre.open.clear();
    getcontext(&fibre.context);
    fibre.context.uc_stack.ss_sp = fibre.stack.get();
    fibre.context.uc_stack.ss_size = kStackBytes;
    fibre.context.uc_link = nullptr;
    makecontext(&fibre.context, start_fibre, 0);
  }
}

void run_block(Block& b) {
  prepare(b);
  std::size_t done = 0;
  while (done < b.fibres.size()) {
    b.moved = false;
    done = 0;
    for (std::size_t i = 0; i < b.fibres.size(); ++i) {
      if (!b.fibres[i].done) {
        b.current = static_cast<int>(i);
        swapcontext(&b.scheduler, &b.fibres[i].context);
        if (b.failure) std::rethrow_exception(b.failure);
      }
      done += b.fibres[i].done ? 1 : 0;
    }
    require(b.moved || done == b.fibres.size(), "threads wait for others that returned or wait elsewhere");
  }
}

// Shows `words` to the other threads of the barrier, lets `read` look at theirs, and parts together.
template <class Read>
void exchange(Barrier& barrier, const std::array<std::uint32_t, 10>& words, const Read& read) {
  block->slots[static_cast<std::size_t>(block->current)] = words;
  arrive(barrier);
  read();
  arrive(barrier);
}

Barrier& own(std::vector<Barrier>& all, int size) {
  return all[static_cast<std::size_t>(block->current / size)];
}

std::uint32_t pair_of(bf16 low, bf16 high) {
  return std::uint32_t{high.bits} << 16 | low.bits;
}
double element(std::uint32_t pair, int index) {
  return to_float(bf16{static_cast<std::uint16_t>(pair >> (16 * index))});
}

}  // namespace

void run_emulated(const EmulatedGrid& grid, const std::function<void()>& kernel) {
  set_floating_point_mode();
  Block b;
  b.grid = grid;
  b.kernel = &kernel;
  b.fibres = std::vector<Fibre>(static_cast<std::size_t>(grid.threads));
  Block* const outer = std::exchange(block, &b);
  try {
    for (b.z = 0; b.z < grid.blocks_z; ++b.z) {
      for (b.y = 0; b.y < grid.blocks_y; ++b.y) {
        for (b.x = 0; b.x < grid.blocks_x; ++b.x) run_block(b);
      }
    }
  } catch (...) {
    block = outer;
    throw;
  }
  block = outer;
}

int EmulatedMachine::thread() {
  return block->current;
}
int EmulatedMachine::threads() {
  return block->grid.threads;
}
std::int64_t EmulatedMachine::block_x() {
  return block->x;
}
std::int64_t EmulatedMachine::block_y() {
  return block->y;
}
std::int64_t EmulatedMachine::block_z() {
  return block->z;
}
std::int64_t EmulatedMachine::blocks_x() {
  return block->grid.blocks_x;
}
std::int64_t EmulatedMachine::blocks_y() {
  return block->grid.blocks_y;
}
std::byte* EmulatedMachine::shared_memory() {
  void* start = block->shared.data();
  std::size_t space = block->shared.size();
  return static_cast<std::byte*>(std::align(16, block->grid.shared_bytes, start, space));
}
void EmulatedMachine::sync() {
  arrive(block->all);
}

std::uint32_t EmulatedMachine::from_lane_xor(std::uint32_t value, int mask) {
  require(mask > 0 && mask < kGroup, "a shuffle leaves its group");
  const int partner = block->current ^ mask;
  require(partner < block->grid.threads, "a shuffle leaves the block");
  std::uint32_t result = 0;
  exchange(own(block->groups, kGroup), {value},
           [&] { result = block->slots[static_cast<std::size_t>(partner)][0]; });
  return result;
}
float EmulatedMachine::from_lane_xor(float value, int mask) {
  return std::bit_cast<float>(from_lane_xor(std::bit_cast<std::uint32_t>(value), mask));
}

void EmulatedMachine::atomic_add(std::int64_t* address, std::int64_t value) {
  *address =
      static_cast<std::int64_t>(static_cast<std::uint64_t>(*address) + static_cast<std::uint64_t>(value));
}
void EmulatedMachine::atomic_add(std::uint64_t* address, std::uint64_t value) {
  *address += value;
}
void EmulatedMachine::raise(std::uint32_t* flag) {
  *flag = 1;
}

void EmulatedMachine::copy_async16(void* shared, const void* global) {
  require(reinterpret_cast<std::uintptr_t>(shared) % 16 == 0 &&
              reinterpret_cast<std::uintptr_t>(global) % 16 == 0,
          "an asynchronous copy is not aligned");
  const std::byte* begin = shared_memory();
  require(shared >= begin && static_cast<std::byte*>(shared) + 16 <= begin + block->grid.shared_bytes,
          "an asynchronous copy leaves shared memory");
  block->fibres[static_cast<std::size_t>(block->current)].open.push_back({shared, global});
}
void EmulatedMachine::commit_copies() {
  Fibre& fibre = block->fibres[static_cast<std::size_t>(block->current)];
  fibre.groups.push_back(std::move(fibre.open));
  fibre.open.clear();
}
void EmulatedMachine::wait_for_copies(int pending) {
  Fibre& fibre = block->fibres[static_cast<std::size_t>(block->current)];
  while (fibre.groups.size() > static_cast<std::size_t>(pending)) {
    for (const Copy& copy : fibre.groups.front()) std::memcpy(copy.to, copy.from, 16);
    fibre.groups.pop_front();
  }
}

void EmulatedMachine::load_four_matrices(std::uint32_t (&r)[4], const bf16* row, bool transposed) {
  require(reinterpret_cast<std::uintptr_t>(row) % 16 == 0, "a row of ldmatrix is not aligned");
  block->rows[static_cast<std::size_t>(block->current)] = row;
  const int lane = block->current % kWarp;
  const int warp = block->current - lane;
  exchange(own(block->warps, kWarp), {}, [&] {
    for (int m = 0; m < 4; ++m) {
      const auto at = [&](int i, int j) {
        return block->rows[static_cast<std::size_t>(warp + m * 8 + i)][j];
      };
      const int i = lane / 4;
      const int j = lane % 4 * 2;
      r[m] = transposed ? pair_of(at(j, i), at(j + 1, i)) : pair_of(at(i, j), at(i, j + 1));
    }
  });
}

// Lane l: group g = l / 4, pair p = l % 4. a[0]: row g, places 2p and 2p + 1; a[1]: row g + 8; a[2], a[3]:
// places 2p + 8 and 2p + 9. b0: column g, places 2p and 2p + 1; b1: 8 on. c[0], c[1]: row g, columns 2p, 2p +
// 1; c[2], c[3]: row g + 8.
void EmulatedMachine::multiply_add(float* c, const std::uint32_t (&a)[4], std::uint32_t b0,
                                   std::uint32_t b1) {
  const int lane = block->current % kWarp;
  const int warp = block->current - lane;
  exchange(own(block->warps, kWarp), {a[0], a[1], a[2], a[3], b0, b1}, [&] {
    for (int e = 0; e < 4; ++e) {
      const int row = lane / 4 + e / 2 * 8;
      const int column = lane % 4 * 2 + e % 2;
      double sum = c[e];
      for (int place = 0; place < 16; ++place) {
        const auto lane_of = [&](int line) {
          return static_cast<std::size_t>(warp + line % 8 * 4 + place % 8 / 2);
        };
        const std::uint32_t left =
            block->slots[lane_of(row)][static_cast<std::size_t>(row / 8 + place / 8 * 2)];
        const std::uint32_t right = block->slots[lane_of(column)][static_cast<std::size_t>(4 + place / 8)];
        sum += element(left, place % 2) * element(right, place % 2);
      }
      c[e] = static_cast<float>(sum);
    }
  });
}

}  // namespace megalith::test
