#include "data/byte_stream.h"

#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <string>
#include <string_view>
#include <utility>

#include "core/digest.h"
#include "core/error.h"
#include "core/file.h"

namespace megalith {
namespace {

constexpr std::size_t kMostExpansion = 1024;
constexpr std::size_t kAlwaysAllowed = std::size_t{256} << 20;  // bytes of text from however small a file

constexpr std::size_t kPortion = std::size_t{256} << 10;

// The file, given out in portions, and its digest.
class FileInput {
 public:
  explicit FileInput(const std::filesystem::path& path)
      : path_(path.string()), file_(value_or_throw(InputFile::open(path))), buffer_(kPortion, '\0') {
    refill();
  }

  // What take() gives next: the beginning of the file, before the first call.
  [[nodiscard]] std::string_view peek() const { return portion_; }
  // The next at most `most` bytes; empty at the end. Valid until the next call.
  std::string_view take(std::size_t most) {
    if (portion_.empty()) refill();
    const std::string_view taken = portion_.substr(0, most);
    portion_.remove_prefix(taken.size());
    digester_.update(taken.data(), taken.size());
    at_ += taken.size();
    return taken;
  }
  [[nodiscard]] std::size_t taken() const { return at_; }
  [[nodiscard]] std::uint64_t digest() const { return digester_.value(); }

  [[noreturn]] void refuse_file(std::size_t offset, const std::string& found, const char* allowed) const {
    throw RefusedInput({{.where = path_,
                         .found = fmt::format("{} at offset {}", found, offset),
                         .allowed = allowed,
                         .nearest = ""}});
  }

  void check_expansion(std::size_t unpacked) const {
    if (unpacked <= kAlwaysAllowed || unpacked / kMostExpansion <= at_) return;
    throw RefusedInput({{.where = path_,
                         .found = fmt::format("{} bytes of text out of {} bytes", unpacked, at_),
                         .allowed = fmt::format("at most {} times as many", kMostExpansion),
                         .nearest = "unpack it yourself if this is what it should be"}});
  }

 private:
  void refill() {
    std::size_t size = 0;
    for (std::size_t got = 1; got > 0 && size < buffer_.size(); size += got)
      got = file_.read(buffer_.data() + size, buffer_.size() - size);
    portion_ = std::string_view(buffer_).substr(0, size);
  }

  std::string path_;
  InputFile file_;
  std::string buffer_;
  std::string_view portion_;  // of the buffer, not given out yet
  std::size_t at_ = 0;
  Digester digester_;
};

class PlainStream final : public ByteStream {
 public:
  explicit PlainStream(std::unique_ptr<FileInput> input) : input_(std::move(input)) {}
  std::size_t read(char* out, std::size_t size) override {
    const std::string_view portion = input_->take(size);
    std::memcpy(out, portion.data(), portion.size());
    return portion.size();
  }
  [[nodiscard]] std::int64_t file_bytes() const override {
    return static_cast<std::int64_t>(input_->taken());
  }
  [[nodiscard]] std::uint64_t file_digest() const override { return input_->digest(); }

 private:
  std::unique_ptr<FileInput> input_;
};

class GzipStream final : public ByteStream {
 public:
  explicit GzipStream(std::unique_ptr<FileInput> input) : input_(std::move(input)) {
    constexpr int kGzipOnly = 16 + MAX_WBITS;
    if (inflateInit2(&decoder_, kGzipOnly) != Z_OK) throw std::bad_alloc();
  }
  ~GzipStream() override { inflateEnd(&decoder_); }

  std::size_t read(char* out, std::size_t size) override {
    decoder_.next_out = reinterpret_cast<Bytef*>(out);
    decoder_.avail_out = static_cast<uInt>(std::min<std::size_t>(size, 1u << 30));
    const uInt wanted = decoder_.avail_out;
    while (decoder_.avail_out == wanted && !done_) step();
    const std::size_t got = wanted - decoder_.avail_out;
    unpacked_ += got;
    input_->check_expansion(unpacked_);
    return got;
  }
  [[nodiscard]] std::int64_t file_bytes() const override {
    return static_cast<std::int64_t>(input_->taken());
  }
  [[nodiscard]] std::uint64_t file_digest() const override { return input_->digest(); }

 private:
  [[nodiscard]] std::size_t offset() const { return input_->taken() - decoder_.avail_in; }

  void refill() {
    if (decoder_.avail_in > 0) return;
    const std::string_view portion = input_->take(kPortion);
    decoder_.next_in =
        reinterpret_cast<Bytef*>(const_cast<char*>(portion.data()));  // zlib never writes to it
    decoder_.avail_in = static_cast<uInt>(portion.size());
  }

  void step() {
    refill();
    if (decoder_.avail_in == 0) {
      if (inside_member_)
        input_->refuse_file(offset(), "the end of the file inside a gzip member", "whole files");
      done_ = true;
      return;
    }
    if (!inside_member_ && *decoder_.next_in == 0) {  // some tools fill up with zeros
      ++decoder_.next_in;
      --decoder_.avail_in;
      return;
    }
    inside_member_ = true;
    const int result = inflate(&decoder_, Z_NO_FLUSH);
    if (result == Z_STREAM_END) {
      inside_member_ = false;
      inflateReset(&decoder_);
    } else if (result == Z_MEM_ERROR) {
      throw std::bad_alloc();
    } else if (result != Z_OK && result != Z_BUF_ERROR) {
      input_->refuse_file(offset(), decoder_.msg != nullptr ? decoder_.msg : "damaged data", "gzip data");
    }
  }

  std::unique_ptr<FileInput> input_;
  z_stream decoder_{};
  std::size_t unpacked_ = 0;
  bool inside_member_ = false;
  bool done_ = false;
};

class ZstdStream final : public ByteStream {
 public:
  explicit ZstdStream(std::unique_ptr<FileInput> input)
      : input_(std::move(input)), decoder_(ZSTD_createDStream()) {
    if (decoder_ == nullptr) throw std::bad_alloc();
  }
  ~ZstdStream() override { ZSTD_freeDStream(decoder_); }

  std::size_t read(char* out, std::size_t size) override {
    ZSTD_outBuffer output{out, size, 0};
    while (output.pos == 0) {
      if (portion_.pos == portion_.size) {
        const std::string_view portion = input_->take(kPortion);
        portion_ = {portion.data(), portion.size(), 0};
        // The decoder may still hold text when all input is in it.
        if (portion.empty() && !inside_frame_) return 0;
      }
      const bool starved = portion_.size == 0;
      const std::size_t result = ZSTD_decompressStream(decoder_, &output, &portion_);
      const std::size_t offset = input_->taken() - (portion_.size - portion_.pos);
      if (ZSTD_isError(result) != 0) input_->refuse_file(offset, ZSTD_getErrorName(result), "zstd data");
      inside_frame_ = result != 0;
      if (starved && inside_frame_ && output.pos == 0)
        input_->refuse_file(offset, "the end of the file inside a zstd frame", "whole files");
    }
    unpacked_ += output.pos;
    input_->check_expansion(unpacked_);
    return output.pos;
  }
  [[nodiscard]] std::int64_t file_bytes() const override {
    return static_cast<std::int64_t>(input_->taken());
  }
  [[nodiscard]] std::uint64_t file_digest() const override { return input_->digest(); }

 private:
  std::unique_ptr<FileInput> input_;
  ZSTD_DStream* decoder_;
  ZSTD_inBuffer portion_{nullptr, 0, 0};
  std::size_t unpacked_ = 0;
  bool inside_frame_ = false;
};

}  // namespace

std::unique_ptr<ByteStream> ByteStream::open(const std::filesystem::path& path) {
  auto input = std::make_unique<FileInput>(path);
  const std::string_view text = input->peek();
  const bool gzip = text.starts_with("\x1f\x8b");
  const bool skippable = text.size() >= 4 && (text[0] & 0xF0) == 0x50 && text.substr(1, 3) == "\x2a\x4d\x18";
  const bool zstd = skippable || text.starts_with("\x28\xb5\x2f\xfd");
  if (gzip) return std::make_unique<GzipStream>(std::move(input));
  if (zstd) return std::make_unique<ZstdStream>(std::move(input));
  return std::make_unique<PlainStream>(std::move(input));
}

}  // namespace megalith
