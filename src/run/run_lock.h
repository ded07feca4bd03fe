// One process at a time writes to a run. The kernel drops the lock with its process, also after kill -9.
#pragma once

#include <filesystem>

#include "core/error.h"

namespace megalith {

class RunLock {
 public:
  // Takes the lock of `file`, which is created and never removed; it holds the process id of the last holder.
  // Refused at once, with that id, while another process holds it. Throws WorldFailed when the file cannot be
  // written.
  static Expected<RunLock> take(const std::filesystem::path& file);
  ~RunLock();
  RunLock(RunLock&& other) noexcept;
  RunLock& operator=(RunLock&&) = delete;

 private:
  explicit RunLock(int descriptor) : descriptor_(descriptor) {}
  int descriptor_;
};

}  // namespace megalith
