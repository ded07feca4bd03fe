# What Debian wants otherwise than `cmake --install` leaves it. CPack runs this between installing and packing.
set(share ${CPACK_TEMPORARY_DIRECTORY}/usr/share)
set(doc ${share}/doc/megalith)
if(NOT EXISTS ${doc}/LICENSE OR NOT EXISTS ${share}/man/man1/megalith.1)
  message(FATAL_ERROR "No install tree below ${CPACK_TEMPORARY_DIRECTORY}")
endif()

# Debian's zsh looks for the completions of packages here; site-functions is for what was installed by hand.
file(MAKE_DIRECTORY ${share}/zsh/vendor-completions)
file(RENAME ${share}/zsh/site-functions/_megalith ${share}/zsh/vendor-completions/_megalith)
file(REMOVE_RECURSE ${share}/zsh/site-functions)

file(WRITE ${doc}/copyright
"Copyright: the contributors of Megalith
License: Apache-2.0
 The text stands in LICENSE beside this file, and on Debian systems in
 /usr/share/common-licenses/Apache-2.0.
")
file(COPY_FILE ${doc}/CHANGELOG.md ${doc}/changelog)
execute_process(COMMAND gzip -9n ${doc}/changelog ${share}/man/man1/megalith.1 COMMAND_ERROR_IS_FATAL ANY)
