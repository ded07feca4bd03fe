#include "run/safetensors.h"

#include <gtest/gtest.h>

#include <cstring>
#include <numeric>

#include "core/bf16.h"
#include "run/temporary_folder.h"

namespace megalith {
namespace {

using test::slurp;
using test::TemporaryFolder;

Expected<SafetensorsView> parse(const std::string& file) {
  return SafetensorsView::parse(std::as_bytes(std::span(file)), "test");
}

// A file with this header and `data` zero bytes behind it.
std::string file_with(const std::string& header, std::size_t data) {
  std::string size(8, '\0');
  for (std::size_t b = 0; b < 8; ++b) size[b] = static_cast<char>(header.size() >> (8 * b) & 0xff);
  return size + header + std::string(data, '\0');
}

TEST(Safetensors, ReadsBackEveryTypeThatItWrites) {
  TemporaryFolder folder;
  std::vector<std::int64_t> i64{1, -2};
  std::vector<float> f32{1.5f, -0.0f, 3.25f, 4, 5, 6};
  std::vector<std::int32_t> i32{7};
  std::vector<bf16> bf{to_bf16(2.5f), to_bf16(-1.0f)};
  std::vector<std::uint8_t> u8{1, 2, 3};
  const std::vector<Tensor> tensors{Tensor(i64.data(), DType::i64, {2}),
                                    Tensor(f32.data(), DType::f32, {2, 3}),
                                    Tensor(i32.data(), DType::i32, {1}), Tensor(bf.data(), DType::bf16, {2}),
                                    Tensor(u8.data(), DType::u8, {3})};
  const std::vector<TensorDeclaration> declared{{"z", DType::i64, {2}},
                                                {"a \"quoted\" name", DType::f32, {2, 3}},
                                                {"\xc3\xa9", DType::i32, {1}},
                                                {"m", DType::bf16, {2}},
                                                {"u", DType::u8, {3}}};
  SafetensorsWriter writer(folder.path() / "t.safetensors", declared, {{"key", "value"}});
  for (const Tensor& tensor : tensors) writer.append(tensor);
  const FileDigests digests = writer.finish();

  const std::string bytes = slurp(folder.path() / "t.safetensors");
  EXPECT_EQ(digests, digest_chunks(std::as_bytes(std::span(bytes)), DigestedFile::default_chunk_bytes));
  const Expected<SafetensorsFile> file = SafetensorsFile::open(folder.path() / "t.safetensors");
  ASSERT_TRUE(file) << to_string(file.error());
  EXPECT_EQ(file->view().tensors().size(), 5u);
  EXPECT_EQ(file->view().metadata().at("key"), "value");
  for (std::size_t t = 0; t < tensors.size(); ++t) {
    const StoredTensor* stored = file->view().find(declared[t].name);
    ASSERT_NE(stored, nullptr) << declared[t].name;
    EXPECT_EQ(computable(stored->type), declared[t].dtype);
    EXPECT_EQ(stored->shape, std::vector<std::uint64_t>(declared[t].shape.begin(), declared[t].shape.end()));
    ASSERT_EQ(stored->bytes.size(), static_cast<std::size_t>(tensors[t].count()) * size_of(tensors[t].dtype));
    EXPECT_EQ(std::memcmp(stored->bytes.data(), tensors[t].data, stored->bytes.size()), 0);
  }
}

TEST(Safetensors, DataStartsAtAMultipleOf64AndTheHeaderKeepsTheOrderOfTheData) {
  for (std::size_t length = 1; length < 70; ++length) {
    const std::vector<TensorDeclaration> declared{{std::string(length, 'n'), DType::f32, {0}},
                                                  {"a", DType::u8, {0}}};
    const std::string header = safetensors_header(declared, {});
    EXPECT_EQ(header.size() % 64, 0u);
    EXPECT_LT(header.find("n\":{"), header.find("\"a\":{"));
    EXPECT_TRUE(parse(header));
  }
}

TEST(Safetensors, WritesAColumnSliceDense) {
  TemporaryFolder folder;
  std::vector<std::int32_t> values(12);
  std::iota(values.begin(), values.end(), 0);  // 3 rows of 4
  const Tensor middle = Tensor(values.data(), DType::i32, {3, 4}).column_slice(1, 2);
  SafetensorsWriter writer(folder.path() / "t", std::vector<TensorDeclaration>{{"m", DType::i32, {3, 2}}},
                           {});
  writer.append(middle);
  writer.finish();
  const Expected<SafetensorsFile> file = SafetensorsFile::open(folder.path() / "t");
  ASSERT_TRUE(file);
  const std::vector<std::int32_t> expected{1, 2, 5, 6, 9, 10};
  EXPECT_EQ(std::memcmp(file->view().find("m")->bytes.data(), expected.data(), 24), 0);
}

TEST(Safetensors, ReadsScalarsEmptyTensorsPackedTypesAndTypesItCannotComputeWith) {
  const Expected<SafetensorsView> view = parse(file_with(
      R"({"s":{"dtype":"F64","shape":[],"data_offsets":[0,8]},"e":{"dtype":"F32","shape":[3,0],)"
      R"("data_offsets":[8,8]},"p":{"shape":[2,3],"data_offsets":[8,11],"dtype":"F4"},)"
      R"("__metadata__":{"format":"pt"},"x":{"dtype":"F6_E2M3","shape":[4],"data_offsets":[11,14]}}   )",
      14));
  ASSERT_TRUE(view) << to_string(view.error());
  EXPECT_EQ(view->find("s")->bytes.size(), 8u);
  EXPECT_EQ(computable(view->find("s")->type), std::nullopt);
  EXPECT_TRUE(view->find("e")->bytes.empty());
  EXPECT_EQ(view->find("p")->bytes.size(), 3u);
  EXPECT_EQ(view->metadata().at("format"), "pt");
}

TEST(Safetensors, RefusesWhatIsNotOneWithThePlaceAndTheReason) {
  const std::string good = R"("a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]})";
  const auto entry = [](const char* dtype, const char* shape, const char* offsets) {
    return fmt::format(R"({{"a":{{"dtype":{},"shape":{},"data_offsets":{}}}}})", dtype, shape, offsets);
  };
  struct Case {
    std::string file;
    const char* message;
  };
  const std::vector<Case> cases{
      {"", "0 bytes"},
      {"short", "5 bytes"},
      {std::string("\x89PNG\r\n\x1a\n rest of a picture"), "larger header"},
      {std::string(8, '\xff'), "larger header"},
      {std::string("\x10\0\0\0\0\0\0\0{}", 10), "a header of 16 bytes in a file of 10"},
      {file_with("", 0), "no JSON object"},
      {file_with(" {}", 0), "no JSON object"},
      {file_with("[]", 0), "no JSON object"},
      {file_with("{}x", 0), "other bytes after"},
      {file_with("{}{}", 0), "not JSON"},
      {file_with(std::string("{}\0}", 4), 0), "NUL"},
      {file_with("{\"\xff\":1}", 0), "not JSON in UTF-8"},
      {file_with("{" + good + "," + good + "}", 4), "the name twice"},
      {file_with(R"({"__metadata__":{},"__metadata__":{}})", 0), "the name twice"},
      {file_with(R"({"__metadata__":{"k":"v","k":"w"}})", 0), "the key twice"},
      {file_with(R"({"__metadata__":{"k":1}})", 0), "allowed: a string"},
      {file_with(R"({"__metadata__":{"k":{"deep":"er"}}})", 0), "allowed: a string"},
      {file_with(R"({"__metadata__":[]})", 0), "allowed: an object"},
      {file_with(R"({"a":[1]})", 0), "allowed: an object"},
      {file_with(R"({"a":{"dtype":"U8","dtype":"U8"}})", 0), "the field twice"},
      {file_with(R"({"a":{"dtype":"U8","shape":[],"shape":[],"data_offsets":[0,1]}})", 1), "the field twice"},
      {file_with(R"({"a":{"dtype":"U8","shape":[4]}})", 4), "data_offsets\": found nothing"},
      {file_with(R"({"a":{"dtype":"U8","extra":1}})", 4), "\"extra\": found this field"},
      {file_with(entry("\"F31\"", "[4]", "[0,4]"), 4), "\"F31\""},
      {file_with(entry("7", "[4]", "[0,4]"), 4), "allowed: a string"},
      {file_with(entry("\"U8\"", "[-4]", "[0,4]"), 4), "found -4"},
      {file_with(entry("\"U8\"", "[4.0]", "[0,4]"), 4), "found \"4.0\""},
      {file_with(entry("\"U8\"", "[99999999999999999999]", "[0,4]"), 4), "2^64"},
      {file_with(entry("\"U8\"", "[[4]]", "[0,4]"), 4), "found an array"},
      {file_with(entry("\"U8\"", "[true]", "[0,4]"), 4), "found true"},
      {file_with(entry("\"U8\"", "[null]", "[0,4]"), 4), "found null"},
      {file_with(entry("\"U8\"", "[4]", "[0]"), 4), "fewer numbers"},
      {file_with(entry("\"U8\"", "[4]", "[0,4,4]"), 4), "more numbers"},
      {file_with(entry("\"U8\"", "[4]", "[4,0]"), 4), "bytes 4 to 0"},
      {file_with(entry("\"U8\"", "[4]", "[1,5]"), 5), "bytes 1 to 5"},
      {file_with(entry("\"U8\"", "[4]", "[0,4]"), 3), "bytes 0 to 4"},
      {file_with(entry("\"U8\"", "[4]", "[0,4]"), 5), "1 bytes after the last tensor"},
      {file_with(entry("\"F32\"", "[4]", "[0,4]"), 4), "allowed: 16"},
      {file_with(entry("\"F4\"", "[3]", "[0,1]"), 1), "whole bytes"},
      {file_with(entry("\"U8\"", "[4294967296,4294967296]", "[0,0]"), 0), "fits 64 bits"},
      {file_with(entry("\"F64\"", "[2305843009213693952,8]", "[0,0]"), 0), "fits 64 bits"},
      {file_with("{" + good + R"(,"b":{"dtype":"U8","shape":[4],"data_offsets":[3,7]}})", 7), "bytes 3 to 7"},
      {file_with("{" + good + R"(,"b":{"dtype":"U8","shape":[4],"data_offsets":[5,9]}})", 9), "bytes 5 to 9"},
      {file_with("{" + good + R"(,"b":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})", 4), "bytes 0 to 4"},
      {file_with("{\"a\":" + std::string(5'000'000, '['), 0), "other bytes after"},
      {file_with("{\"a\":" + std::string(5'000'000, '[') + "}", 0), "found an array"},
      {file_with(R"({"a":{"shape":)" + std::string(1'000'000, '[') + "}", 0), "found an array"},
  };
  for (const Case& c : cases) {
    const Expected<SafetensorsView> view = parse(c.file);
    ASSERT_FALSE(view) << c.message;
    const std::string message = to_string(view.error());
    EXPECT_NE(message.find(c.message), std::string::npos) << message;
    EXPECT_LT(message.size(), 400u);
  }
}

TEST(Safetensors, EveryTruncationOfAFileIsRefused) {
  const std::string file = file_with(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})", 4);
  ASSERT_TRUE(parse(file));
  for (std::size_t size = 0; size < file.size(); ++size) EXPECT_FALSE(parse(file.substr(0, size))) << size;
}

TEST(Safetensors, ReadsAFileThatAnotherProgramWrote) {
  const std::filesystem::path path =
      std::filesystem::path(MEGALITH_SHARED_DIR) / "data/weights/stories260K/hf/model.safetensors";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is not there";
  const Expected<SafetensorsFile> file = SafetensorsFile::open(path);
  ASSERT_TRUE(file) << to_string(file.error());
  const StoredTensor* embedding = file->view().find("model.embed_tokens.weight");
  ASSERT_NE(embedding, nullptr);
  EXPECT_EQ(embedding->shape, (std::vector<std::uint64_t>{512, 64}));
}

}  // namespace
}  // namespace megalith
