# The Debian package: `cmake --build build/package --target package`, which scripts/package.sh calls. It is made of the
# install rules; dpkg-shlibdeps names the packages of the libraries, so it fits the release it was built on.
set(MEGALITH_PACKAGE_CONTACT "Megalith contributors <contributors@megalith.invalid>" CACHE STRING
  "Maintainer of the Debian package: Name <address>")

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME megalith)
set(CPACK_PACKAGE_CONTACT "${MEGALITH_PACKAGE_CONTACT}")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "train, evaluate and sample language models on CPUs")
set(CPACK_PACKAGE_DESCRIPTION
"Megalith is one native program that trains GPT, Llama, Mistral, Qwen2 and NeoX shapes, evaluates them and lets them
talk, on the processor there is. The loss of every step has one set of bits: the same for any number of threads, any
micro-batch size, any kernel family, and after any interruption.
.
A run is a directory with its frozen config, a ledger of every step, checkpoints in safetensors and a report.")
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
  OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_PRE_BUILD_SCRIPTS ${PROJECT_SOURCE_DIR}/cmake/package_tree.cmake)

set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
include(CPack)
